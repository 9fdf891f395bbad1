"""Attention for narrow heads and few columns: every product a sum of elementwise terms, side by side for many rows."""

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MOST_COLUMNS, MOST_WIDTH = 48, 4
"""columns and width of a head up to which this form is compiled: its terms are written out"""
_HIDDEN, _LEAST = -1e30, -1e20


@jax.custom_vjp
def narrow_attention(query: Any, key: Any, value: Any, visible: Any, kept: Any) -> Float[Array, "H E T N"]:
    """o_t = sum_s kept_ts softmax_s(q_t . k_s) v_s over the visible s; 0 for a query that sees none.

    * `query`, `key`, `value` [H, E, T, N]: heads, width of a head, columns, rows; the query is scaled already
    * `visible` [T, S, N] booleans; `kept` [H, T, S, N] multiplies the weights, None for all of them

    Products of matrices [T, E] with E = 2 leave most of a processor idle, and one call for each head and row costs more
    than its work. With the rows on the last axis all sums, over s as well, run over whole vectors of them. The weights
    stay unnormalised, and backwards the correction sum_e do_e o_e is taken out of the sums over s and t, so that
    four arrays [H, T, S, N] are all there are.
    """
    return _forwards(query, key, value, visible, kept)[0]


def _forwards(query, key, value, visible, kept):
    columns = range(key.shape[2])
    scores = jnp.where(visible[None], _products(query, key), _HIDDEN)
    # A query that sees nothing has weights exp(hidden - least) = 0.
    most = reduce(jnp.maximum, (scores[:, :, s] for s in columns), jnp.asarray(_LEAST, scores.dtype))
    weights = jnp.exp(scores - most[:, :, None])
    total = _sum(weights[:, :, s] for s in columns)
    share = jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1), 0)
    dropped = weights if kept is None else weights * kept
    read = _sum(dropped[:, None, :, s] * value[:, :, None, s] for s in columns) * share[:, None]
    return read, (query, key, value, weights, None if kept is None else dropped, read, share)


def _backwards(residuals, slope):
    query, key, value, weights, dropped, read, share = residuals
    dropped, columns = weights if dropped is None else dropped, range(key.shape[2])
    slope = slope * share[:, None]
    # A sum over an axis, not one written out: XLA would compute that again for every element of the products below.
    mean = jnp.sum(slope * read, axis=1)
    moved = dropped * _products(slope, value)
    seen = _sum(weights[:, None, :, s] * key[:, :, None, s] for s in columns)
    of_query = _sum(moved[:, None, :, s] * key[:, :, None, s] for s in columns) - mean[:, None] * seen
    centre = mean[:, None] * query
    of_key = _sum(
        moved[:, None, t] * query[:, :, t, None] - weights[:, None, t] * centre[:, :, t, None] for t in columns
    )
    of_value = _sum(dropped[:, None, t] * slope[:, :, t, None] for t in columns)
    return of_query, of_key, of_value, None, None


narrow_attention.defvjp(_forwards, _backwards)


def _products(left: Any, right: Any) -> Array:
    """sum_e left[h, e, t, n] right[h, e, s, n], [H, T, S, N]."""
    return _sum(left[:, e, :, None] * right[:, e, None] for e in range(left.shape[1]))


def _sum(terms: Iterable[Any]) -> Any:
    return reduce(add, terms)
