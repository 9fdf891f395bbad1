"""Orthonormal bases of the columns of tall matrices."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST
# What is left of a standardised column below this size counts as rounding; scikit-learn's LinearRegression cuts
# singular values at the same share of the largest.
_RCOND = 1e-6


def column_space(x: Float[Array, "N m"]) -> tuple[Float[Array, "N k"], Float[Array, "m k"]]:
    """Returns an orthonormal basis [N, k] of the columns of x and T [m, k] with basis = x T; k = min(N, m).

    Directions of negligible size are set to 0. Gram-Schmidt with column pivoting, every new direction orthogonalised
    twice: as accurate as a QR by reflections and rank-revealing.
    """
    scale = jnp.max(jnp.abs(x), axis=0, keepdims=True)
    scale = jnp.where(scale > 0, scale, 1.0)
    x = x / scale
    norm = jnp.sqrt(jnp.sum(x * x, axis=0, keepdims=True))
    norm = jnp.where(norm > 0, norm, 1.0)
    x = x / norm
    num_columns = min(x.shape)
    rcond = max(_RCOND, 4 * x.shape[1] * float(jnp.finfo(x.dtype).eps))

    def orthogonalise(number, carry):
        rest, basis, weights, combined = carry
        chosen = jnp.argmax(jnp.sum(rest * rest, axis=0))
        column, weight = rest[:, chosen], weights[:, chosen]
        shares = jnp.matmul(basis.T, column, precision=_HIGHEST)
        column = column - jnp.matmul(basis, shares, precision=_HIGHEST)
        weight = weight - jnp.matmul(combined, shares, precision=_HIGHEST)
        size = jnp.sqrt(jnp.sum(column * column))
        column, weight = (jnp.where(size > rcond, v / jnp.where(size > 0, size, 1.0), 0.0) for v in (column, weight))
        shares = jnp.matmul(column, rest, precision=_HIGHEST)
        rest, weights = rest - jnp.outer(column, shares), weights - jnp.outer(weight, shares)
        return rest, basis.at[:, number].set(column), weights, combined.at[:, number].set(weight)

    basis = jnp.zeros((x.shape[0], num_columns), x.dtype)
    combined = jnp.zeros((x.shape[1], num_columns), x.dtype)
    start = x, basis, jnp.eye(x.shape[1], dtype=x.dtype), combined
    _, basis, _, combined = jax.lax.fori_loop(0, num_columns, orthogonalise, start)
    return basis, combined / (scale * norm).T
