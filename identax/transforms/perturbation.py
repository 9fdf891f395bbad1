"""Acting on the parameters after the optimiser: a `Perturbation`, and the two ways to put one behind an update."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from identax.checks import check_choice, check_count, is_integer
from identax.rng import step_key, stream, streams
from identax.transforms._rarely import rarely
from identax.transforms.selection import leaf_paths

MOMENTS = ("keep", "zero")
"""what becomes of the optimiser's memory of replaced entries"""


class PerturbationState(NamedTuple):
    """`count` of updates seen, the root `key` (never advanced), and what the perturbation itself remembers."""

    count: Any
    key: Any
    memory: Any


class Perturbation(NamedTuple):
    """A change of the parameters after every update, exact: parameters -> parameters.

    * `init(params) -> state`
    * `apply(params, state, **context) -> (params, state, replaced)`, to be called after `optax.apply_updates`.
      `replaced` is a tree of booleans like the parameters: entries whose value does not continue the old one. Of the
      context it takes what it needs: `key` (this step's, instead of one of its own), `grad`, `activations`, ...

    `after_update` and `with_perturbation` make optax transformations of it.
    """

    init: Callable[[Any], PerturbationState]
    apply: Callable[..., tuple[Any, PerturbationState, Any]]


class Acting(NamedTuple):
    """What a perturbation does to the chosen leaves, a dict by their paths.

    * `needs`: names of the context that reach the others; what the loop did not give is None
    * `remember(leaves) -> memory`, the first one
    * `watch(key, leaves, memory, context) -> memory`, after every update, also one at which it does not act
    * `act(key, leaves, memory, count, context) -> (leaves, memory, replaced)`
    """

    act: Callable[..., tuple[dict[str, Any], Any, dict[str, Any]]]
    needs: tuple[str, ...] = ()
    remember: Callable[[dict[str, Any]], Any] = lambda leaves: ()
    watch: Callable[..., Any] = lambda key, leaves, memory, context: memory


def perturbation(
    acting: Acting,
    *,
    key: Any = 0,
    every: int = 1,
    on: Callable[[Any], Any] | Any = None,
) -> Perturbation:
    """A perturbation that acts after the updates `every`, 2 `every`, ... on the leaves that `on` chooses.

    `on` is a tree of booleans like the parameters, or a function of them that gives one, e.g. `select`; None for all.
    The key of update t is `step_key(key, t)`, or of the `key` of the context where the loop gives one (as
    `gradient_study` does, so that trials differ) its stream "perturbation". Each leaf takes its own by its path.
    Raises `ValueError` for every < 1, and when used for a mask of another structure.
    """
    check_count("perturbation", "every", every)

    def chosen(params):
        paths, treedef = leaf_paths(params)
        mask = on(params) if callable(on) else on
        flags = [True] * len(paths) if mask is None else jax.tree.leaves(mask)
        if len(flags) != len(paths):
            raise ValueError(f"perturbation: found a mask of {len(flags)} leaves, wanted {len(paths)}: {paths}")
        leaves = jax.tree.leaves(params)
        return treedef, dict(zip(paths, leaves, strict=True)), [p for p, f in zip(paths, flags, strict=True) if f]

    def init(params):
        root = jax.random.key(key) if is_integer(key) else key
        _, leaves, names = chosen(params)
        memory = acting.remember({name: leaves[name] for name in names})
        return PerturbationState(jnp.zeros((), jnp.int32), root, memory)

    def apply(params, state, **context):
        return compiled(params, state, {name: context.get(name) for name in ("key", *acting.needs)})

    # One program for each shape, also where a loop calls it outside `jit`.
    @partial(jax.jit, inline=True)
    def compiled(params, state, context):
        treedef, leaves, names = chosen(params)
        given = context["key"]
        now = step_key(state.key, state.count) if given is None else stream(given, "perturbation")
        mine = {name: leaves[name] for name in names}
        memory = acting.watch(stream(now, "watch"), mine, state.memory, context)

        def act(held):
            return acting.act(now, *held, state.count, context)

        def rest(held):
            mine, memory = held
            return mine, memory, {name: jnp.zeros(leaf.shape, bool) for name, leaf in mine.items()}

        if every == 1:
            mine, memory, replaced = act((mine, memory))
        else:
            mine, memory, replaced = rarely((state.count + 1) % every == 0, act, rest, (mine, memory))
        everywhere = {name: replaced.get(name, jnp.zeros(leaf.shape, bool)) for name, leaf in leaves.items()}
        state = PerturbationState(state.count + 1, state.key, memory)
        params, replaced = (jax.tree.unflatten(treedef, tree.values()) for tree in (leaves | mine, everywhere))
        return params, state, replaced

    return Perturbation(init, apply)


def leafwise(change: Callable[..., Any], *, continues: bool = False) -> Callable[..., Any]:
    """The `act` of a perturbation without memory: `change(key, leaf, count)` of each leaf, with a key of its own.

    `continues`: every new value continues the old one (noise, shrinking), so none counts as replaced.
    """

    def act(key, leaves, memory, count, context):
        del context
        keys = streams(key, [name or "leaf" for name in leaves])
        new = {name: change(own, leaf, count) for own, (name, leaf) in zip(keys, leaves.items(), strict=True)}
        replaced = {
            name: jnp.zeros(leaf.shape, bool) if continues else new[name] != leaf for name, leaf in leaves.items()
        }
        return new, memory, replaced

    return act


def after_update(perturbation: Perturbation) -> optax.GradientTransformationExtraArgs:
    """The perturbation as the last part of an `optax.chain`: it changes the update so that the parameters end there.

        updates' = perturbed(params + updates) - params,   updates where nothing was changed

    What `optax.apply_updates` then gives may differ from `perturbed(...)` in the last digits: in float32 a third of all
    replaced entries does, so a permutation does not keep the values to the last bit. `Perturbation.apply` does.
    It acts on what `optax.masked` and `optax.multi_transform` leave it. The optimiser's memory stays, see
    `with_perturbation`. Raises `ValueError` when used without params.
    """

    def init(params):
        return perturbation.init(params)

    def update(updates, state, params=None, **context):
        if params is None:
            raise ValueError("after_update: found params=None, wanted the parameters: update(updates, state, params)")
        stepped = optax.apply_updates(params, updates)
        new, state, _ = perturbation.apply(stepped, state, **context)
        return _towards(new, params, stepped, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def with_perturbation(
    optimizer: optax.GradientTransformation, perturbation: Perturbation, *, moments: str = "keep"
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, then the perturbation as in `after_update`; its state is the pair of both.

    `moments`: "keep" leaves the optimiser's memory, "zero" calls `forget` for replaced entries.
    Raises `ValueError` for another choice, and when used without params.
    """
    check_choice("with_perturbation", "moments", moments, MOMENTS)
    inner = optax.with_extra_args_support(optimizer)

    def init(params):
        return inner.init(params), perturbation.init(params)

    def update(updates, state, params=None, **context):
        if params is None:
            raise ValueError("with_perturbation: found params=None, wanted update(updates, state, params)")
        held, own = state
        updates, held = inner.update(updates, held, params, **context)
        stepped = optax.apply_updates(params, updates)
        new, own, replaced = perturbation.apply(stepped, own, **context)
        if moments == "zero":
            held = forget(inner, held, replaced)
        return _towards(new, params, stepped, updates), (held, own)

    return optax.GradientTransformationExtraArgs(init, update)


def _towards(new: Any, params: Any, stepped: Any, updates: Any) -> Any:
    """Updates that lead to `new`; where nothing was perturbed, those that there were, to the last bit."""
    return jax.tree.map(lambda n, p, s, u: jnp.where(n == s, u, (n - p).astype(u.dtype)), new, params, stepped, updates)


def forget(optimizer: optax.GradientTransformation, opt_state: Any, replaced: Any) -> Any:
    """The optimiser's state with zeros for `replaced` entries, in whatever it holds once per parameter.

    Those are moments and traces, and the counts of `scale_by_entrywise_adam`. Adam's one count stays: its bias
    correction is over, and the first step of an entry whose moments were zeroed is (1 - b1)/sqrt(1 - b2) times (3.2 at
    the usual .9 and .999) what it is at the start of training. Averages of the parameters become 0 too: keep them
    outside. Raises `ValueError` where a state has other shapes than the parameters (L-BFGS).
    """

    def clear(held, entries):
        if isinstance(held, optax.MaskedNode):
            return held
        if jnp.shape(held) != jnp.shape(entries):
            raise ValueError(f"forget: found a state of shape {jnp.shape(held)} of {jnp.shape(entries)} parameters")
        return jnp.where(entries, jnp.zeros_like(held), held)

    def is_masked(leaf):
        return isinstance(leaf, optax.MaskedNode)

    return optax.tree.map_params(optimizer, clear, opt_state, replaced, is_leaf=is_masked)


class EntrywiseAdamState(NamedTuple):
    """Moments and the number of updates of each entry."""

    mu: Any
    nu: Any
    count: Any


def scale_by_entrywise_adam(
    b1: float | int = 0.9, b2: float | int = 0.999, eps: float | int = 1e-8
) -> optax.GradientTransformation:
    """Adam whose bias correction counts the updates of each entry: where `forget` zeroes one, Adam starts over.

        m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps),   t per entry

    As `optax.scale_by_adam` until something is forgotten.
    Source: Kingma & Ba 2015, counted as continual backpropagation does (Dohare et al. 2024).
    """

    def init(params):
        counts = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int32), params)
        return EntrywiseAdamState(jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), counts)

    def update(updates, state, params=None):
        del params
        count = jax.tree.map(lambda t: t + 1, state.count)
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment(updates, state.nu, b2, 2)

        def scaled(m, v, t):
            return m / (1 - b1 ** t.astype(m.dtype)) / (jnp.sqrt(v / (1 - b2 ** t.astype(v.dtype))) + eps)

        return jax.tree.map(scaled, mu, nu, count), EntrywiseAdamState(mu, nu, count)

    return optax.GradientTransformation(init, update)
