"""Singular vectors, and eigenvectors of positive semi-definite matrices, many and small: one-sided Jacobi rotations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SWEEPS = 10  # over all pairs of columns; convergence is quadratic


@partial(jax.jit, inline=True)
def psd_eigh(matrices: Float[Array | np.ndarray, "B n n"]) -> tuple[Float[Array, "B n"], Float[Array, "B n n"]]:
    """Eigenvalues, ascending, and eigenvectors (as columns) of symmetric positive semi-definite matrices.

    The rotations V that make the columns of M V orthogonal diagonalise M: M V = V diag(values), and the values are
    their norms, hence never negative. Pairs of columns are turned until all are orthogonal; the batch comes last
    inside, which is faster on CPU. Eigenvectors of eigenvalues that are zero to rounding span the null space in some
    basis.
    """
    return right_singular(matrices)


@partial(jax.jit, inline=True)
def right_singular(matrices: Float[Array | np.ndarray, "B N n"]) -> tuple[Float[Array, "B n"], Float[Array, "B n n"]]:
    """Singular values, ascending, and right singular vectors (as columns) of matrices with few columns.

    The columns of M V are orthogonal and the values their norms. Small values keep their digits beside large ones,
    which they do not as roots of the eigenvalues of M^T M. With n > N, n - N of the values are zero to rounding.
    """
    n, num_rows = matrices.shape[-1], matrices.shape[-2]
    eye = jnp.broadcast_to(jnp.eye(n, dtype=matrices.dtype), (matrices.shape[0], n, n))
    stacked = _orthogonalise(jnp.moveaxis(jnp.concatenate([matrices, eye], axis=1), 0, -1), num_rows)
    columns, vectors = stacked[:num_rows], stacked[num_rows:]
    values = jnp.sqrt((columns * columns).sum(axis=0))
    order = jnp.argsort(values, axis=0)
    values = jnp.take_along_axis(values, order, axis=0)
    vectors = jnp.take_along_axis(vectors, order[None], axis=1)
    return jnp.moveaxis(values, -1, 0), jnp.moveaxis(vectors, -1, 0)


def _orthogonalise(columns: Float[Array, "rows n B"], m: int) -> Float[Array, "rows n B"]:
    """Rotates pairs of columns until those of the first m rows are orthogonal; further rows are turned along."""
    n = columns.shape[1]
    if n == 1:
        return columns
    first, second = jnp.triu_indices(n, k=1)
    tiny = jnp.finfo(columns.dtype).tiny

    def rotate(number, columns):
        i, j = (jax.lax.dynamic_index_in_dim(pairs, number % len(first), keepdims=False) for pairs in (first, second))
        a, b = columns[:, i], columns[:, j]
        aa, bb, ab = ((x[:m] * y[:m]).sum(axis=0) for x, y in ((a, a), (b, b), (a, b)))
        ratio = (bb - aa) / (2 * jnp.where(jnp.abs(ab) > tiny, ab, tiny))
        tangent = jnp.where(ratio >= 0, 1.0, -1.0) / (jnp.abs(ratio) + jnp.sqrt(1 + ratio * ratio))
        tangent = jnp.where(jnp.abs(ab) > tiny, tangent, 0.0)
        cosine = jax.lax.rsqrt(1 + tangent * tangent)
        cosine, sine = cosine[None, :], (cosine * tangent)[None, :]
        return columns.at[:, i].set(cosine * a - sine * b).at[:, j].set(sine * a + cosine * b)

    return jax.lax.fori_loop(0, _SWEEPS * len(first), rotate, columns)
