"""The published training: clipped stochastic gradient descent on mini-batches of pairs, an epoch at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.inputs import float_type, numbers
from identax.numerics import clipped
from identax.rng import permutation


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def orthonormal_rows(key: Key[Array, ""], rows: int, dim: int) -> Float[Array, "rows dim"]:
    """W with W W^T = I, uniformly (Haar) distributed: Gaussian rows, made orthonormal one after the other.

    Start of the published training. Raises `ValueError` unless 1 <= rows <= dim.
    Source: Rajendran et al. 2024's code (orthogonal initialisation of a wide matrix).
    """
    if not 1 <= rows <= dim:
        raise ValueError(f"orthonormal_rows: found {rows} rows of {dim} entries, wanted 1 <= rows <= entries")

    def add(found, row):
        index, drawn = row
        for _ in range(2):  # once leaves rounding errors behind where a row is nearly a combination of the others
            drawn = drawn - (found @ drawn) @ found
        return found.at[index].set(drawn / jnp.sqrt(jnp.sum(drawn**2))), None

    drawn = jax.random.normal(key, (rows, dim))
    return jax.lax.scan(add, jnp.zeros_like(drawn), (jnp.arange(rows), drawn))[0]


def published_gradient(
    unmixing: Float[Array | np.ndarray, "k p"],
    z: Float[Array | np.ndarray, "N p"],
    means: Float[Array | np.ndarray, "N k"],
    precisions: Float[Array | np.ndarray, "N k"],
) -> Float[Array, "k p"]:
    """Gradient of minus the mean of `published_loglik`: mean_n (W z_n - mu_n) / sigma2_n z_n^T."""
    residual = (jnp.asarray(z) @ unmixing.T - means) * precisions
    return residual.T @ z / z.shape[0]


def published_epoch(
    key: Key[Array, ""],
    unmixing: Float[Array | np.ndarray, "k p"],
    z: Float[Array | np.ndarray, "N p"],
    means: Float[Array | np.ndarray, "N k"],
    variances: Float[Array | np.ndarray, "N k"],
    *,
    batch_size: int,
    learning_rate: ArrayLike,
    max_norm: ArrayLike = 0.5,
) -> Float[Array, "k p"]:
    """One pass over all pairs in a random order: W <- W - learning_rate * clipped(gradient) for every mini-batch.

    `unmixing` W [d_u, 2 d_y] on z = [y_t, y_{t+1}] [N, 2 d_y]; `means` and `variances` of the control at each pair,
    [N, d_u]. The last batch holds what is left over, as in the original; its gradient is the mean of fewer pairs.
    Raises `ValueError` for batch_size outside 1..N.
    Source: Rajendran et al. 2024's code: batches of 64, rate 1e-3, norm 0.5, 4,000 epochs (motor: 8, 1e-2, 50).
    """
    if not 1 <= batch_size <= z.shape[0]:
        raise ValueError(f"published_epoch: found batch_size={batch_size}, wanted 1 .. {z.shape[0]} pairs")
    given = numbers("published_epoch", "unmixing", unmixing)
    start = jnp.asarray(given, float_type(given))
    return _epoch(batch_size, key, start, z, means, variances, learning_rate, max_norm)


@partial(jax.jit, static_argnums=0, inline=True)
def _epoch(batch_size, key, unmixing, z, means, variances, learning_rate, max_norm):
    num, dim, num_controls = z.shape[0], z.shape[1], unmixing.shape[0]
    together = jnp.concatenate([z, means, 1 / variances], axis=1)[permutation(key, num)]
    num_full = num // batch_size

    def step(unmixing, batch):
        z, means, precisions = jnp.split(batch, (dim, dim + num_controls), axis=1)
        gradient = published_gradient(unmixing, z, means, precisions)
        return unmixing - learning_rate * clipped(gradient, max_norm)[0], None

    full = together[: num_full * batch_size].reshape(num_full, batch_size, -1)
    unmixing, _ = jax.lax.scan(step, jnp.asarray(unmixing), full)
    return step(unmixing, together[num_full * batch_size :])[0] if num % batch_size else unmixing
