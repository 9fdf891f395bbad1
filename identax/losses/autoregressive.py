"""Losses of models that predict each token from those before it; one value per sequence.

The convention everywhere: a row is the first token, symbols, the end, padding; logits at column t are those of the
token in column t + 1, so that the targets of logits [N, T, V] are the tokens shifted by one, [N, T].
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from identax.checks import check_between, check_count, concrete, shape_of
from identax.inputs import numbers
from identax.losses._checks import Embeddings, Labels, as_floats, as_labels, chosen_entries


def shifted(tokens: Labels) -> tuple[Int[Array, "N T"], Int[Array, "N T"]]:
    """Tokens [N, T + 1] -> (inputs, targets) [N, T]: all but the last column, all but the first.

    Raises `ValueError` unless tokens are integers [N, T + 1] with T >= 1.
    """
    array = numbers("shifted", "tokens", tokens)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"shifted: found {array.dtype} tokens of shape {array.shape}, wanted integers [N, T + 1], T >= 1"
        )
    check_between("shifted", "tokens", array, -(2**31), 2**31 - 1)
    array = jnp.asarray(array, jnp.int32)
    return array[:, :-1], array[:, 1:]


def sequence_nll(
    logits: Embeddings,
    targets: Labels,
    *,
    pad: int | None = None,
    mask: Any = None,
    mean: bool = True,
) -> Float[Array, " N"]:
    """-mean_t log p(target_t | targets before it) over the columns that count, one value per sequence.

    All columns count, targets that are padding too, as published: a loss of M + 1 columns has the floor
    H / (M + 1) for strings of entropy H nats. With `pad` those are left out; `mask` [N, T] says which columns count
    beside that. A row without any gives 0. `mean=False`: the sum, nats per string.
    Args: `logits` [N, T, V], of `targets` [N, T].
    What does not count may be NaN, in its gradient as well.
    Raises `ValueError` for shapes that do not fit, targets or a `pad` that are no tokens 0 .. V - 1, and a mask of
    other than booleans.
    Source: Reizinger et al. 2024, code, which counts padding; the floor is own (theirs, `data_entropy`, is ln(n) / n).
    """
    return _nll("sequence_nll", logits, targets, pad, mask, mean)


def completion_nll(
    logits: Embeddings,
    targets: Labels,
    prompt: Any,
    *,
    pad: int | None = None,
    mask: Any = None,
    mean: bool = True,
    published: bool = False,
) -> Float[Array, " N"]:
    """`sequence_nll` of the completions: of the target columns from L on, where L is the prompt's number of symbols.

    A row is one first token, L symbols of the prompt, then the completion, whose first token is target L. `published`
    begins at L + 1, so that the first token of a completion is never trained and a prompt that is complete never learns
    its end. `prompt`: L, one number or one per row [N]; `pad` and `mask` leave out more.
    Raises `ValueError` as `sequence_nll`, and for a prompt that leaves no target.
    Source: Reizinger et al. 2024, code, whose offset is the published one.
    """
    array = numbers("completion_nll", "prompt", prompt)
    shape = shape_of(logits)
    if not jnp.issubdtype(array.dtype, jnp.integer) or array.shape not in ((), shape[:1]):
        raise ValueError(
            f"completion_nll: found {array.dtype} prompt of shape {array.shape}, wanted a whole number, or one per row"
        )
    known, columns = concrete(array), shape[1] if len(shape) == 3 else 0
    # Compared before anything is added: of 8 bits, 127 + 1 would be below 0.
    if known is not None and columns and not ((known >= 0) & (known < columns - published)).all():
        raise ValueError(
            f"completion_nll: found prompts from {known.min()} to {known.max()} symbols, wanted 0 to "
            f"{columns - 1 - published}, below the {columns} columns"
        )
    first = jnp.asarray(array, jnp.int32) + published
    if columns:
        taught = jnp.arange(columns)[None] >= jnp.broadcast_to(first, shape[:1])[:, None]
        mask = taught & _mask_of("completion_nll", mask, shape[:2])
    return _nll("completion_nll", logits, targets, pad, mask, mean)


def autoregressive_kl(p_logits: Embeddings, q_logits: Embeddings, *, mask: Any = None) -> Float[Array, " N"]:
    """sum_t KL(p(. | s_<t) || q(. | s_<t)) along given sequences, one value per sequence s.

    By the chain rule KL(p || q) of whole strings is its mean over s drawn from p: a Monte Carlo estimate with less
    spread than log p(s) - log q(s), and >= 0 in every row but for rounding. With weights p(s), over all strings, it is
    exact. Where p gives 0, nothing counts; where only q does, it is infinite; NaN for logits that are. `mask` [N, T]:
    columns that count; the others may be NaN, in their gradients as well.
    Args: `p_logits`, `q_logits` [N, T, V] on the same sequences; -infinity is a probability of 0.
    Raises `ValueError` for shapes that do not fit, and a mask of other than booleans.
    Source: Cover and Thomas 2006, theorem 2.5.3.
    """
    shape = shape_of(p_logits)
    if len(shape) != 3 or 0 in shape or shape_of(q_logits) != shape:
        raise ValueError(
            f"autoregressive_kl: found p_logits of shape {shape} and q_logits of {shape_of(q_logits)}, "
            "wanted two of one shape [N, T, V]"
        )
    p, q = as_floats("autoregressive_kl", p_logits=p_logits, q_logits=q_logits)
    return _summed_kl(p, q, _mask_of("autoregressive_kl", mask, shape[:2]))


def tabular_kl(p_logits: Any, q_logits: Any) -> Float[Array, ""]:
    """KL(p || q) of two autoregressive tables, exactly: sum_t sum_prefix p(prefix) KL(p(. | prefix) || q(. | prefix)).

    Table t of each is [V^t, V]: a row of logits per prefix of t tokens, prefixes in lexicographic order. What follows a
    prefix of probability 0 under p counts nothing, whatever q says: that is what a loss leaves open.
    Raises `ValueError` for no tables, and for tables of other shapes.
    Source: Cover and Thomas 2006, theorem 2.5.3.
    """
    if not all(isinstance(tables, Sequence) for tables in (p_logits, q_logits)):
        raise ValueError("tabular_kl: found no sequences of tables, wanted a list of arrays [V^t, V] each")
    shapes = [[shape_of(table) for table in tables] for tables in (p_logits, q_logits)]
    size = shapes[0][0][-1] if shapes[0] and len(shapes[0][0]) == 2 else 0
    if not size or any(found != [(size**t, size) for t in range(len(shapes[0]))] for found in shapes):
        raise ValueError(
            f"tabular_kl: found p_logits {shapes[0]} and q_logits {shapes[1]}, wanted [V^t, V] for t = 0 ..."
        )
    pairs = [as_floats("tabular_kl", p_logits=p, q_logits=q) for p, q in zip(p_logits, q_logits, strict=True)]
    return _tables_kl(pairs)


def _nll(where: str, logits: Any, targets: Any, pad: int | None, mask: Any, mean: bool) -> Array:
    shape = shape_of(logits)
    if len(shape) != 3 or 0 in shape or shape_of(targets) != shape[:2]:
        raise ValueError(
            f"{where}: found logits of shape {shape} and targets of shape {shape_of(targets)}, "
            "wanted [N, T, V] and [N, T]"
        )
    (logits,) = as_floats(where, logits=logits)
    targets = as_labels(where, "targets", targets, shape[-1])
    counted = _mask_of(where, mask, shape[:2])
    if pad is not None:
        check_count(where, "pad", pad, 0)
        check_between(where, "pad", pad, 0, shape[-1] - 1)
        counted = counted & (targets != pad)
    return _summed_nll(logits, targets, counted, mean)


def _mask_of(where: str, mask: Any, shape: tuple[int, ...]) -> Array:
    if mask is None:
        return jnp.ones(shape, bool)
    mask = numbers(where, "mask", mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(f"{where}: found {mask.dtype} mask of shape {mask.shape}, wanted booleans {shape}")
    return jnp.asarray(mask)


@partial(jax.jit, static_argnums=3, inline=True)
def _summed_nll(logits: Array, targets: Array, counted: Array, mean: bool) -> Array:
    # Both sides of a `where` have gradients: what is not counted must be finite.
    logits = jnp.where(counted[..., None], logits, 0)
    found = chosen_entries(jax.nn.log_softmax(logits), targets)
    total = jnp.where(counted, -found, 0).sum(axis=1)
    return total / jnp.maximum(counted.sum(axis=1), 1) if mean else total


@partial(jax.jit, inline=True)
def _summed_kl(p: Array, q: Array, counted: Array) -> Array:
    # As in `_summed_nll`.
    p, q = (jnp.where(counted[..., None], logits, 0) for logits in (p, q))
    return jnp.where(counted, _kl(p, q), 0).sum(axis=1)


@partial(jax.jit, inline=True)
def _tables_kl(pairs: Sequence[Sequence[Array]]) -> Array:
    reached, total = jnp.ones(1), jnp.zeros(())
    for p, q in pairs:
        total = total + jnp.where(reached == 0, 0, reached * _kl(p, q)).sum()
        reached = (reached[:, None] * jax.nn.softmax(p, axis=-1)).reshape(-1)
    return total


def _kl(p: Array, q: Array) -> Array:
    log_p, log_q = jax.nn.log_softmax(p, axis=-1), jax.nn.log_softmax(q, axis=-1)
    never = log_p == -jnp.inf
    # Both sides of a `where` have gradients: what is not wanted must be finite.
    difference = jnp.where(never, 0, log_p) - jnp.where(never, 0, log_q)
    return jnp.where(never, 0, jnp.exp(log_p) * difference).sum(axis=-1)
