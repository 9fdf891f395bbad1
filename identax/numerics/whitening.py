"""Whitening by principal components, and inverse square roots, without a covariance matrix's loss of digits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from identax.numerics.gram_schmidt import column_space
from identax.numerics.jacobi import psd_eigh, right_singular

_HIGHEST = jax.lax.Precision.HIGHEST


def pca_whitening(x: Float[Array, "N m"], num: int) -> tuple[Float[Array, "num m"], Bool[Array, ""]]:
    """The map K [num, m] to the leading `num` principal components at unit variance, and whether they all exist.

        x = U diag(d) V^T of centred columns, d descending,    K = sqrt(N) diag(1/d) V^T,    (K x^T)(K x^T)^T / N = I

    Every row's first entry is positive (or 0), as in scikit-learn. `x` is centred. Components do not exist where the
    columns have a smaller rank, to a millionth of their sizes: their rows are 0 then.
    """
    basis, _ = column_space(x)
    triangle = jnp.matmul(basis.T, x, precision=_HIGHEST)
    rank = jnp.sum(jnp.sum(basis * basis, axis=0) > 0.5)
    values, vectors = right_singular(triangle[None])
    values, vectors = values[0, ::-1][:num], vectors[0, :, ::-1][:, :num]
    vectors = jnp.where(vectors[:1] < 0, -vectors, vectors)
    exists = jnp.arange(num) < rank
    scale = jnp.where(exists, jnp.sqrt(jnp.asarray(len(x), x.dtype)) / jnp.where(exists, values, 1.0), 0.0)
    return (vectors * scale[None, :]).T, rank >= num


def inverse_root(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """M^(-1/2) of a symmetric positive semi-definite matrix; eigenvalues below the smallest float count as that."""
    values, vectors = psd_eigh(matrix[None])
    scale = jax.lax.rsqrt(jnp.maximum(values, jnp.finfo(matrix.dtype).tiny))
    return jnp.matmul(vectors[0] * scale, vectors[0].T, precision=_HIGHEST)
