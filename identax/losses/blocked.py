"""Log-sum-exps over all pairs of rows, tile by tile: the matrix of similarities is never held.

Forwards every tile of logits is computed, reduced and dropped; backwards it is computed again, so that memory is
one tile and a few numbers per row. One pass serves rows and columns: the columns of the cross block are the second
view's anchors, and a symmetric block needs its upper triangle only.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.losses._checks import Scalar
from identax.losses.similarity import Parts


class Plan(NamedTuple):
    """Static: rows of a tile; whether only pairs with row < column count (a symmetric matrix, once); both sums?"""

    block_size: int
    upper: bool = False
    columns: bool = True


def within_logsumexp(parts: Parts, block_size: int, scale: Scalar = 1.0) -> Float[Array, " N"]:
    """log sum_{k != i} exp(scale s_ik) of a symmetric similarity of a set of rows with itself; see `logsumexps`."""
    ids = jnp.arange(jax.tree.leaves(parts.rows)[0].shape[0])
    return jnp.logaddexp(*logsumexps(parts, ids, ids, Plan(int(block_size), upper=True), scale))


def across_logsumexps(
    parts: Parts, block_size: int, scale: Scalar = 1.0, *, columns: bool = True
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """log sum_{k != i} exp(scale s_ik) and, if `columns`, log sum_{k != i} exp(scale s_ki): N rows, N columns."""
    ids = jnp.arange(jax.tree.leaves(parts.rows)[0].shape[0])
    return logsumexps(parts, ids, ids, Plan(int(block_size), columns=columns), scale)


def logsumexps(
    parts: Parts, row_ids: Int[Array, " N"], column_ids: Int[Array, " M"], plan: Plan, scale: Scalar = 1.0
) -> tuple[Float[Array, " N"], Float[Array, " M"]]:
    """Log-sum-exps over the columns and over the rows of a matrix of logits s, in one pass: [N] and [M].

    Pairs count whose ids differ (`plan.upper`: whose row id is smaller). -inf where none does. With a `scale` the
    sums are over exp(scale s), but the gradient with respect to s is the softmax itself, not scale times it: that of
    sum_k w_k exp(s_k) with weights w = exp((scale - 1) s) held fixed. No gradient with respect to `scale`. Without
    `plan.columns` the second result is not computed, and -inf.
    """
    size = plan.block_size
    rows, row_ids = jax.tree.map(lambda x: _padded(x, size), parts.rows), _padded(row_ids, size, -1)
    columns, column_ids = jax.tree.map(lambda x: _padded(x, size), parts.columns), _padded(column_ids, size, -1)
    scale = jax.lax.stop_gradient(jnp.asarray(scale, _dtype(parts)))
    over_columns, over_rows = cast(
        tuple[Array, Array],
        _tiled(parts.kernel, plan, parts.shared, rows, columns, row_ids, column_ids, scale),
    )
    num_rows, num_columns = (jax.tree.leaves(side)[0].shape[0] for side in (parts.rows, parts.columns))
    return over_columns.reshape(-1)[:num_rows], over_rows.reshape(-1)[:num_columns]


def _dtype(parts):
    return jnp.result_type(*jax.tree.leaves((parts.shared, parts.rows, parts.columns)))


def _padded(x: Array, size: int, fill: int = 0) -> Array:
    """Rows in tiles: [N, ...] -> [K, size, ...], the last one filled up."""
    missing = -x.shape[0] % size
    x = jnp.pad(x, ((0, missing),) + ((0, 0),) * (x.ndim - 1), constant_values=fill)
    return x.reshape((-1, size, *x.shape[1:]))


def _pairs_of_tiles(num_rows: int, num_columns: int, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    if upper:
        return np.triu_indices(num_rows)
    i, j = np.indices((num_rows, num_columns))
    return i.reshape(-1), j.reshape(-1)


def _pick(tree, index):
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), tree)


def _put(tree, update, index):
    return jax.tree.map(lambda x, y: jax.lax.dynamic_update_index_in_dim(x, y, index, 0), tree, update)


def _counted(row_ids, column_ids, upper):
    """Which entries of a tile count: not the padding (id -1), not the diagonal, of a symmetric matrix one half."""
    i, j = row_ids[:, None], column_ids[None, :]
    return (i >= 0) & (i < j) if upper else (i >= 0) & (j >= 0) & (i != j)


def _logsumexp(logits, axis):
    top = jnp.max(logits, axis=axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    return jnp.log(jnp.sum(jnp.exp(logits - top), axis=axis)) + jnp.squeeze(top, axis)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _tiled(kernel: Callable, plan: Plan, shared, rows, columns, row_ids, column_ids, scale):
    def step(sums, tile):
        i, j = tile
        logits = scale * kernel(shared, _pick(rows, i), _pick(columns, j))
        logits = jnp.where(_counted(_pick(row_ids, i), _pick(column_ids, j), plan.upper), logits, -jnp.inf)
        over_columns, over_rows = sums
        over_columns = _put(over_columns, jnp.logaddexp(_pick(over_columns, i), _logsumexp(logits, 1)), i)
        if plan.columns:
            over_rows = _put(over_rows, jnp.logaddexp(_pick(over_rows, j), _logsumexp(logits, 0)), j)
        return (over_columns, over_rows), None

    start = tuple(jnp.full(ids.shape, -jnp.inf, scale.dtype) for ids in (row_ids, column_ids))
    tiles = _pairs_of_tiles(row_ids.shape[0], column_ids.shape[0], plan.upper)
    return jax.lax.scan(step, start, tiles)[0]


def _tiled_forward(kernel, plan, *operands):
    found = _tiled(kernel, plan, *operands)
    return found, (operands, found)


@partial(jax.jit, static_argnums=(0, 1), inline=True)
def _tiled_backward(kernel, plan, residuals, cotangents):
    (shared, rows, columns, row_ids, column_ids, scale), found = residuals
    # Rows without any term have the sum -inf; 0 in its place keeps exp(-inf - sum) at 0 instead of NaN.
    over_columns, over_rows = (jnp.where(jnp.isfinite(x), x, 0.0) for x in found)

    def step(totals, tile):
        i, j = tile
        logits, pull = jax.vjp(kernel, shared, _pick(rows, i), _pick(columns, j))
        logits = jnp.where(_counted(_pick(row_ids, i), _pick(column_ids, j), plan.upper), scale * logits, -jnp.inf)
        weights = _pick(cotangents[0], i)[:, None] * jnp.exp(logits - _pick(over_columns, i)[:, None])
        if plan.columns:
            weights += _pick(cotangents[1], j)[None, :] * jnp.exp(logits - _pick(over_rows, j)[None, :])
        of_shared, of_row, of_column = pull(weights)
        for_shared, for_rows, for_columns = totals
        for_shared = jax.tree.map(jnp.add, for_shared, of_shared)
        for_rows = _put(for_rows, jax.tree.map(jnp.add, _pick(for_rows, i), of_row), i)
        for_columns = _put(for_columns, jax.tree.map(jnp.add, _pick(for_columns, j), of_column), j)
        return (for_shared, for_rows, for_columns), None

    start = jax.tree.map(jnp.zeros_like, (shared, rows, columns))
    tiles = _pairs_of_tiles(row_ids.shape[0], column_ids.shape[0], plan.upper)
    totals, _ = jax.lax.scan(step, start, tiles)
    return (*totals, None, None, jnp.zeros_like(scale))


_tiled.defvjp(_tiled_forward, _tiled_backward)
