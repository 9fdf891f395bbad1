"""Attention for narrow heads and few columns: every product a sum of elementwise terms, side by side for many rows."""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MOST_COLUMNS, MOST_WIDTH = 48, 4
"""columns and width of a head up to which this form is compiled: its terms are written out"""
_HIDDEN, _LEAST, _NEVER = -1e30, -1e20, 1e30


@jax.custom_vjp
def narrow_attention(query: Any, key: Any, value: Any, visible: Any, kept: Any) -> Float[Array, "H E T N"]:
    """o_t = sum_s kept_ts softmax_s(q_t . k_s) v_s over the visible s; 0 for a query that sees none.

    * `query`, `key`, `value` [H, E, T, N]: heads, width of a head, columns, rows; the query is scaled already
    * `visible` [T, S, N], `kept` [H, T, S, N]: booleans; None for no dropout

    Products of matrices [T, E] with E = 2 leave most of a processor idle, and one call for each head and row costs more
    than its work. With the rows on the last axis all sums, over s as well, run over whole vectors of them. Backwards
    the weights are computed again from the logarithm of their sum, so that no array [H, T, S, N] is stored.
    """
    return _forwards(query, key, value, visible, kept)[0]


def _forwards(query, key, value, visible, kept):
    columns = range(key.shape[2])

    def read(query, key, value, kept):
        scores = _scores(query, key, visible)
        # A query that sees nothing has weights exp(hidden - least) = 0.
        most = reduce(jnp.maximum, (scores[:, :, s] for s in columns), jnp.asarray(_LEAST, scores.dtype))
        weights = jnp.exp(scores - most[:, :, None])
        total = _sum(weights[:, :, s] for s in columns)
        total = jnp.where(total > 0, total, 1)
        dropped = _dropped(weights, kept)
        found = _sum(dropped[:, None, :, s] * value[:, :, None, s] for s in columns)
        return found / total[:, None], most + jnp.log(total)

    found, level = _kept_apart(read, query, key, value, kept)
    return found, (query, key, value, visible, kept, found, level)


def _backwards(residuals, slope):
    query, key, value, visible, kept, found, level = residuals
    columns = range(key.shape[2])

    def slopes(query, key, value, kept, level, slope, mean):
        weights = jnp.exp(_scores(query, key, visible) - level[:, :, None])
        dropped = _dropped(weights, kept)
        moved = weights * (_dropped(_products(slope, value), kept) - mean[:, :, None])
        return (
            _sum(moved[:, None, :, s] * key[:, :, None, s] for s in columns),
            _sum(moved[:, None, t] * query[:, :, t, None] for t in columns),
            _sum(dropped[:, None, t] * slope[:, :, t, None] for t in columns),
        )

    mean = jnp.sum(slope * found, axis=1)
    return *_kept_apart(slopes, query, key, value, kept, level, slope, mean), None, None


narrow_attention.defvjp(_forwards, _backwards)


def _scores(query: Any, key: Any, visible: Any) -> Array:
    return jnp.where(visible[None], _products(query, key), _HIDDEN)


def _products(left: Any, right: Any) -> Array:
    """sum_e left[h, e, t, n] right[h, e, s, n], [H, T, S, N]."""
    return _sum(left[:, e, :, None] * right[:, e, None] for e in range(left.shape[1]))


def _dropped(x: Any, kept: Any) -> Array:
    return x if kept is None else jnp.where(kept, x, 0)


def _sum(terms: Iterable[Any]) -> Any:
    return reduce(add, terms)


def _kept_apart(function: Callable, first: Any, *others: Any) -> Any:
    """`function(first, *others)`, whose results are computed once.

    XLA on a CPU has no barrier: sums written out are cheap in its eyes, so that it puts them into everything they go
    into and computes them again for every element of that. What a loop returns it leaves alone. This one runs once, or
    twice with the same result where the first number is beyond all use, which XLA cannot know; and what it
    computes depends on the round, so that nothing can be taken out of it.
    """
    shapes = jax.eval_shape(function, first, *others)
    rounds = 1 + (first.reshape(-1)[0] > _NEVER).astype(jnp.int32)
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.fori_loop(0, rounds, lambda i, _: function(first + 0 * i.astype(first.dtype), *others), start)
