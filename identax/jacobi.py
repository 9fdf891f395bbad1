"""Singular values of many small matrices without LAPACK."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_SWEEPS = 10  # over all pairs of columns; convergence is quadratic


def singular_values(matrices: Float[Array, "B m n"]) -> Float[Array, "B n"]:
    """Singular values of many small matrices by one-sided Jacobi rotations, in no order; m >= n for all of them.

    Rotates pairs of columns until all are orthogonal; their norms are the singular values. Not LAPACK's batched SVD:
    on CPU (jaxlib 0.10) that waits inside the thread pool it runs on, and deadlocks when as many devices or programs
    as there are threads do so at once. The batch comes last inside, which is faster on CPU.
    """
    columns = jnp.moveaxis(matrices, 0, -1)
    n = columns.shape[1]
    if n == 1:
        return jnp.sqrt((columns * columns).sum(axis=0)).T
    first, second = jnp.triu_indices(n, k=1)
    tiny = jnp.finfo(matrices.dtype).tiny

    def rotate(number, columns):
        i, j = (jax.lax.dynamic_index_in_dim(pairs, number % len(first), keepdims=False) for pairs in (first, second))
        a, b = columns[:, i], columns[:, j]
        aa, bb, ab = (a * a).sum(axis=0), (b * b).sum(axis=0), (a * b).sum(axis=0)
        ratio = (bb - aa) / (2 * jnp.where(jnp.abs(ab) > tiny, ab, tiny))
        tangent = jnp.where(ratio >= 0, 1.0, -1.0) / (jnp.abs(ratio) + jnp.sqrt(1 + ratio * ratio))
        tangent = jnp.where(jnp.abs(ab) > tiny, tangent, 0.0)
        cosine = jax.lax.rsqrt(1 + tangent * tangent)
        cosine, sine = cosine[None, :], (cosine * tangent)[None, :]
        return columns.at[:, i].set(cosine * a - sine * b).at[:, j].set(sine * a + cosine * b)

    columns = jax.lax.fori_loop(0, _SWEEPS * len(first), rotate, columns)
    return jnp.sqrt((columns * columns).sum(axis=0)).T
