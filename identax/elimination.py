"""Linear systems and determinants of small matrices without LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact


def solve(
    matrix: Inexact[Array | np.ndarray, "n n"], right: Inexact[Array | np.ndarray, "n *k"]
) -> Inexact[Array, "n *k"]:
    """X with matrix X = right, by Gauss-Jordan elimination with partial pivoting; right [n] or [n, k], real or complex.

    Maps over batches with `jax.vmap` and is differentiable. Not LAPACK's batched solver, which can deadlock on CPU
    (jaxlib 0.10) when several devices or programs call it at once. A singular matrix gives infinities or NaN.
    """
    columns = right[:, None] if right.ndim == 1 else right
    reduced, _, _ = _eliminate(matrix, columns)
    return reduced.reshape(right.shape)


def inverse(matrix: Inexact[Array | np.ndarray, "n n"]) -> Inexact[Array, "n n"]:
    """Inverse of a small matrix, as `solve`."""
    return solve(matrix, jnp.eye(matrix.shape[0], dtype=matrix.dtype))


def slogdet(matrix: Inexact[Array | np.ndarray, "n n"]) -> tuple[Inexact[Array, ""], Inexact[Array, ""]]:
    """Sign (a phase where complex) and log|det| of a small matrix, as `solve`; log|det| is -inf for a singular one."""
    _, sign, logdet = _eliminate(matrix, jnp.zeros((matrix.shape[0], 0), matrix.dtype))
    return sign, logdet


def _eliminate(matrix, right):
    n = matrix.shape[0]
    dtype = jnp.result_type(matrix, right)
    work = jnp.concatenate([matrix.astype(dtype), right.astype(dtype)], axis=1)
    rows = jnp.arange(n)

    def step(i, carry):
        work, sign, logdet = carry
        column = jnp.abs(jax.lax.dynamic_index_in_dim(work, i, axis=1, keepdims=False))
        best = jnp.argmax(jnp.where(rows >= i, column, -1.0))
        order = jnp.where(rows == i, best, jnp.where(rows == best, i, rows))
        work = work[order]
        row = jax.lax.dynamic_index_in_dim(work, i, axis=0)
        pivot = jax.lax.dynamic_index_in_dim(row[0], i, keepdims=False)
        size = jnp.abs(pivot)
        swapped = jnp.where(best == i, 1.0, -1.0).astype(dtype)
        sign = sign * swapped * jnp.where(size > 0, pivot / jnp.where(size > 0, size, 1.0), 0.0).astype(dtype)
        logdet = logdet + jnp.where(size > 0, jnp.log(jnp.where(size > 0, size, 1.0)), -jnp.inf)
        row = row / pivot
        factor = jnp.where(rows == i, 0.0, jax.lax.dynamic_index_in_dim(work, i, axis=1, keepdims=False))
        work = jnp.where((rows == i)[:, None], row, work - factor[:, None] * row)
        return work, sign, logdet

    start = (work, jnp.ones((), dtype), jnp.zeros((), jnp.abs(work).dtype))
    work, sign, logdet = jax.lax.fori_loop(0, n, step, start)
    return work[:, n:], sign, logdet
