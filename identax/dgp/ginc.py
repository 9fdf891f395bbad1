"""GINC: hidden Markov models with the same symbols that differ in how slots follow each other, and prompts for them."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_count, check_positive
from identax.dgp.base import compiled
from identax.dgp.hmm_mixture import Documents, HmmMixture, filtered, sample_documents
from identax.rng import stream

DELIMITER = 0
"""the token that every value emits in slot 0"""
MOST_ENTRIES = 2**28
"""of a table, 1 GiB of float32 (published: 10^5), so that a mistyped number is refused, not allocated"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ginc:
    """J models over hidden states (value v, slot s), number v S + s: symbols `table` [V, S], the transitions of values
    [V, V] that all share, those of slots [J, S, S], and their mixture; the first `num_within` are trained on."""

    table: Any
    values: Any
    slots: Any
    components: HmmMixture
    num_within: int = dataclasses.field(metadata={"static": True})

    def within(self) -> HmmMixture:
        """The mixture of the components that documents are drawn from, equally likely."""
        return _part(self.components, slice(0, self.num_within))

    def beyond(self) -> HmmMixture:
        """That of the components held out."""
        return _part(self.components, slice(self.num_within, None))

    def documents(self, key: Key[Array, ""], num: int, length: int) -> Documents:
        """Documents to train on."""
        return sample_documents(self.within(), key, num, length)


class ContextPrompts(NamedTuple):
    """`tokens` int32 [N, n (k + 1) + k - 1]: n examples of k symbols and a delimiter each, then k - 1 symbols; the
    `labels` [N] that should follow, the `components` [N] (of those prompted) and the start `slots` [N]."""

    tokens: Any
    labels: Any
    components: Any
    slots: Any


def ginc(
    key: Key[Array, ""],
    *,
    num_values: int = 10,
    num_slots: int = 10,
    num_symbols: int = 50,
    num_components: int = 10,
    num_within: int = 5,
    num_permutations: int = 10,
    temperature: float | int = 0.1,
    value_identity: float | int = 0.9,
) -> Ginc:
    """Draws a world. The state (v, s) emits `table`[v, s], uniform on 1..num_symbols - 1; the delimiter, 0, if s = 0.

    A random transition is sum_i w_i P_i with `num_permutations` uniform permutation matrices and w = softmax((u - 1/2)
    / temperature), u uniform on [0, 1]. Slots have one for each component; values share one, of which (1 -
    value_identity) is kept and the rest is the identity. T_j = A_v (x) A_j; start: softmax((u - 1/2) / 10) over states.
    Raises `ValueError` for counts < 1, a single slot or symbol, num_within outside 1..num_components - 1, more
    than `MOST_ENTRIES` in a table, temperature <= 0 and value_identity outside [0, 1].
    Source: Xie et al. 2022 (published code).
    """
    where = "ginc"
    for name, count, least in (
        ("num_values", num_values, 1),
        ("num_slots", num_slots, 2),
        ("num_symbols", num_symbols, 2),
        ("num_components", num_components, 2),
        ("num_permutations", num_permutations, 1),
        ("num_within", num_within, 1),
    ):
        check_count(where, name, count, least)
    check_between(where, "num_within", num_within, 1, num_components - 1)
    sizes = num_values, num_slots, num_symbols, num_components, num_permutations
    entries = _most_entries(*map(int, sizes))
    if entries > MOST_ENTRIES:
        raise ValueError(
            f"{where}: found sizes {sizes}, whose largest table has {entries:,} entries, "
            f"wanted at most {MOST_ENTRIES:,}"
        )
    check_positive(where, "temperature", temperature, ())
    check_between(where, "value_identity", value_identity, 0, 1, ())
    return Ginc(*_draw(key, sizes, temperature, value_identity), num_within)


def in_context_prompts(
    world: Ginc, key: Key[Array, ""], num: int, *, num_examples: int, length: int, within: bool = True
) -> ContextPrompts:
    """Draws prompts of `num_examples` = n worked examples of `length` = k symbols, and one whose last symbol is asked.

    One component and one start slot, uniform on 1..S - 1, for the whole prompt; every example starts at a value of its
    own, uniform, and rolls k - 1 transitions. The label is the likeliest next symbol under the component itself, given
    the k - 1 symbols asked about and their start slot alone. `within`: of the components trained on, or held out.
    Raises `ValueError` for num < 1, n < 0 and k < 2.
    Source: Xie et al. 2022 (published code).
    """
    check_count("in_context_prompts", "num", num)
    check_count("in_context_prompts", "num_examples", num_examples, 0)
    check_count("in_context_prompts", "length", length, 2)
    mixture = world.within() if within else world.beyond()
    return _prompts(world.table, mixture, key, num, num_examples, length)


def prompt_length(num_examples: int, length: int) -> int:
    """Tokens of a prompt: n (k + 1) + k - 1. Raises `ValueError` for n < 0 and k < 2."""
    check_count("prompt_length", "num_examples", num_examples, 0)
    check_count("prompt_length", "length", length, 2)
    return num_examples * (length + 1) + length - 1


def _most_entries(num_values, num_slots, num_symbols, num_components, num_permutations):
    """Of transitions and emissions of states, and of the permutations that a transition is made of."""
    size = num_values * num_slots
    return max(num_components * size * max(size, num_symbols), num_permutations * max(num_values, num_slots) ** 2)


def _draw_world(key, sizes, temperature, value_identity):
    num_values, num_slots, num_symbols, num_components, num_permutations = sizes
    mixed = _mixed_permutations(stream(key, "values"), num_values, num_permutations, temperature)
    values = value_identity * jnp.eye(num_values) + (1 - value_identity) * mixed
    keys = jax.random.split(stream(key, "slots"), num_components)
    slots = jax.vmap(lambda one: _mixed_permutations(one, num_slots, num_permutations, temperature))(keys)
    table = jax.random.randint(stream(key, "table"), (num_values, num_slots), 1, num_symbols)
    table = table.at[:, 0].set(DELIMITER)
    size = num_values * num_slots
    transition = jnp.einsum("vw,jst->jvswt", values, slots, precision="highest").reshape(num_components, size, size)
    start = jax.nn.softmax((jax.random.uniform(stream(key, "start"), (num_components, size)) - 0.5) / 10, axis=-1)
    emission = jnp.broadcast_to(jax.nn.one_hot(table.reshape(-1), num_symbols), (num_components, size, num_symbols))
    weights = jnp.full(num_components, 1 / num_components)
    return table, values, slots, HmmMixture(weights, start, transition, emission)


_draw = compiled(_draw_world, static=(1,))


def _draw_prompts(table, mixture, key, num, num_examples, length) -> ContextPrompts:
    num_values, num_slots = table.shape
    components = jax.random.randint(stream(key, "component"), (num,), 0, len(mixture.weights))
    slots = jax.random.randint(stream(key, "slot"), (num,), 1, num_slots)
    shape = num, num_examples + 1
    value = jax.random.randint(stream(key, "value"), shape, 0, num_values)
    steps = jnp.cumsum(mixture.transition, axis=-1)

    def step(state, level):
        cumulative = steps[components[:, None], state]
        after = (cumulative[..., :-1] <= level[..., None] * cumulative[..., -1:]).sum(axis=-1)
        return after, after

    first = value * num_slots + slots[:, None]
    levels = jax.random.uniform(stream(key, "states"), (length - 1, *shape), steps.dtype)
    _, rest = jax.lax.scan(step, first, levels)
    states = jnp.moveaxis(jnp.concatenate([first[None], rest]), 0, -1)  # [num, n + 1, k]
    symbols = jnp.argmax(mixture.emission[0], axis=-1)[states]
    examples = jnp.concatenate([symbols, jnp.full((*shape, 1), DELIMITER, symbols.dtype)], axis=-1)
    tokens = examples.reshape(num, -1)[:, : prompt_length(num_examples, length)].astype(jnp.int32)
    asked = tokens[:, num_examples * (length + 1) :]
    at_slot = (jnp.arange(num_values * num_slots)[None, :] % num_slots == slots[:, None]) / num_values
    start = jnp.broadcast_to(at_slot[:, None, :], (num, *mixture.start.shape)).astype(steps.dtype)
    _, state = filtered(mixture, start, asked)
    own = jnp.take_along_axis(state, components[:, None, None], axis=1)[:, 0]
    law = jnp.matmul(own, mixture.emission[0], precision="highest")
    return ContextPrompts(tokens, jnp.argmax(law, axis=-1), components, slots)


_prompts = compiled(_draw_prompts, static=(3, 4, 5))


def _mixed_permutations(key, size, num, temperature) -> Float[Array, "S S"]:
    weights = jax.nn.softmax((jax.random.uniform(stream(key, "weights"), (num,)) - 0.5) / temperature)
    orders = jax.vmap(lambda one: jax.random.permutation(one, size))(jax.random.split(stream(key, "orders"), num))
    return jnp.einsum("i,ist->st", weights, jax.nn.one_hot(orders, size), precision="highest")


def _part(mixture, chosen) -> HmmMixture:
    found = jax.tree.map(lambda leaf: leaf[chosen], mixture)
    return dataclasses.replace(found, weights=found.weights / found.weights.sum())
