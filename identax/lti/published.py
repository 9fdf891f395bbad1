"""Where the published objective ends: a weighted least-squares fit of the known means."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import shape_of
from identax.lti._checks import Data, checked_pairs, per_sample
from identax.lti.moments import Moments
from identax.numerics import psd_eigh


def wls_unmixing(pairs: Data, means: Data, variances: Data) -> Float[Array, "d_u p"]:
    """The maximum of the published objective: w_i = H_i^-1 b_i, H_i = E[z z^T / sigma2_i], b_i = E[mu_i z / sigma2_i].

    That is, each row regresses the known mean of its control on z = [y_t, y_{t+1}] with weights 1 / sigma2_i; zero
    means give W = 0. `pairs` [N, 2, d_y]; `means`, `variances` [N, d_u] per pair, or [d_u] for all. Returns
    [d_u, 2 d_y], the shortest solution where z does not span its space (noise-free plants with d_u < d_y).
    Solved by singular values of the weighted data, whose condition is the root of H_i's; `wls_of_moments` is for
    programs that are mapped over many systems.
    Raises `ValueError` for shapes that do not fit, non-finite data and variances that are not positive.
    Source: stationary point of Rajendran et al. 2024's objective (their code optimises it by clipped SGD).
    """
    pairs = checked_pairs("wls_unmixing", pairs)
    dims = {shape_of(values)[-1:] for values in (means, variances)}
    if len(dims) != 1 or dims == {()}:
        found = shape_of(means), shape_of(variances)
        raise ValueError(f"wls_unmixing: found means, variances {found}, wanted [N, d_u] or [d_u]")
    ((dim,),) = dims
    means = per_sample("wls_unmixing", "means", means, pairs.shape[0], dim)
    variances = per_sample("wls_unmixing", "variances", variances, pairs.shape[0], dim, positive=True)
    z = pairs.reshape(pairs.shape[0], -1)

    return _weighted_fits(z, means, variances)


@partial(jax.jit, inline=True)
def _weighted_fits(z, means, variances):
    def row(pair):
        mean, weight = pair[0], jax.lax.rsqrt(pair[1])
        return jnp.linalg.lstsq(weight[:, None] * z, weight * mean)[0]

    return jax.lax.map(row, (means.T, variances.T))


def wls_of_moments(
    moments: Moments, means: Float[Array | np.ndarray, "E k"], variances: Float[Array | np.ndarray, "E k"]
) -> Float[Array, "k p"]:
    """`wls_unmixing` from moments: every H_i must have full rank."""
    means, variances = jnp.asarray(means), jnp.asarray(variances)
    weights = moments.share[:, None] / variances
    grams = weighted_grams(moments, variances)
    targets = jnp.einsum("ei,ep->ip", weights * means, moments.mean)
    return jax.vmap(solve_scaled)(grams, targets)


def decay_limit(moments: Moments, variances: Float[Array | np.ndarray, "E k"]) -> Float[Array, "k p"]:
    """Zero means: the direction in which gradient descent on the published loss shrinks W last.

    Row i is the eigenvector of H_i with the smallest eigenvalue, of unit length; the optimum itself is W = 0.
    Source: limit of Rajendran et al. 2024's training for zero means.
    """
    _, vectors = psd_eigh(weighted_grams(moments, variances))
    return vectors[:, :, 0]


def weighted_grams(moments: Moments, variances: Float[Array | np.ndarray, "E k"]) -> Float[Array, "k p p"]:
    """H_i = sum_e share_e E_e[z z^T] / sigma2_{e,i}, for every component i."""
    return jnp.einsum("ei,epq->ipq", moments.share[:, None] / variances, moments.second)


def solve_scaled(
    gram: Float[Array | np.ndarray, "p p"], target: Float[Array | np.ndarray, "p *k"]
) -> Float[Array, "p *k"]:
    """gram^-1 target with rows and columns scaled to a unit diagonal first, and one step of refinement."""
    scale = jax.lax.rsqrt(jnp.diagonal(gram))
    scaled = gram * scale[:, None] * scale[None, :]
    columns = scale[:, None] * target.reshape(gram.shape[0], -1)
    factors = jax.scipy.linalg.lu_factor(scaled)
    found = jax.scipy.linalg.lu_solve(factors, columns)
    found = found + jax.scipy.linalg.lu_solve(factors, columns - scaled @ found)
    return (scale[:, None] * found).reshape(target.shape)
