"""Identification in two closed-form steps: regression on the past, joint diagonalisation of the residuals."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from identax.checks import check_positive
from identax.inputs import float_type, numbers
from identax.lti.moments import Moments
from identax.lti.published import solve_scaled
from identax.metrics._matching import best_assignment
from identax.numerics import psd_eigh

_DRAWS = 200


class Innovations(NamedTuple):
    """Residual r = y_{t+1} - F y_t of the regression on the past: r = C B u in a noise-free system.

    `transition` F [d_y, d_y], `mean` [E, d_y] and `covariance` [E, d_y, d_y] of r in each environment.
    """

    transition: Float[Array | np.ndarray, "d d"]
    mean: Float[Array | np.ndarray, "E d"]
    covariance: Float[Array | np.ndarray, "E d d"]


def innovation_regression(moments: Moments) -> Innovations:
    """Least squares of y_{t+1} on y_t with an intercept in every environment: F = S_10 S_00^-1.

    S are covariances within environments, averaged over all pairs. With invertible C, F = C A C^-1.
    Source: Rajendran et al. 2024's model, y_{t+1} | y_t ~ N(F y_t + CB mu_e, CB Sigma_e (CB)^T).
    """
    dim = moments.dim
    pooled = jnp.tensordot(moments.share, moments.covariance, axes=1)
    transition = solve_scaled(pooled[:dim, :dim], pooled[:dim, dim:]).T
    return innovations_of(transition, moments)


def innovations_of(transition: Float[Array | np.ndarray, "d d"], moments: Moments) -> Innovations:
    """Means and covariances of the residual for a given F."""
    dim = moments.dim
    difference = jnp.concatenate([-transition, jnp.eye(dim, dtype=transition.dtype)], axis=1)
    covariance = jnp.einsum("ip,epq,jq->eij", difference, moments.covariance, difference)
    return Innovations(transition, moments.mean @ difference.T, covariance)


def residual_range(covariance: Float[Array | np.ndarray, "d d"], rank: int) -> Float[Array, "rank d"]:
    """Orthonormal rows that span the `rank` leading principal directions of the residual: the range of C B."""
    _, vectors = psd_eigh(covariance[None])
    return vectors[0, :, ::-1][:, :rank].T


def joint_diagonalise(
    covariances: Float[Array | np.ndarray, "E d d"],
    variances: Float[Array | np.ndarray, "E d"],
    key: Key[Array, ""] | None = None,
) -> Float[Array, "d d"]:
    """Q with Q R_e Q^T (nearly) diagonal in every environment, rows in no order and of no particular scale.

    R_e = M diag(sigma2_e) M^T is diagonalised by the generalised eigenvectors of any two mixtures (sum_e a_e R_e,
    sum_e b_e R_e) whose ratios (a sigma2)_i / (b sigma2)_i differ. Of 200 random convex weights the pair is taken that
    keeps the two closest log ratios furthest apart (`key`: of these draws, by default always the same ones).
    Needs E >= 2; components whose variance profiles are proportional stay mixed.
    Source: simultaneous diagonalisation of covariances (Souloumiac 1995; Pham & Cardoso 2001).
    """
    key = jax.random.key(0) if key is None else key
    num = covariances.shape[0]
    draws = jax.random.dirichlet(key, jnp.full(num, 0.5, covariances.dtype), (2, _DRAWS), dtype=covariances.dtype)
    first, second = _separating_weights(draws, variances)
    values, vectors = psd_eigh(jnp.tensordot(first, covariances, axes=1)[None])
    whitener = (vectors[0] * jax.lax.rsqrt(values[0])[None, :]).T
    _, rotation = psd_eigh((whitener @ jnp.tensordot(second, covariances, axes=1) @ whitener.T)[None])
    return rotation[0].T @ whitener


def _separating_weights(draws, variances):
    """The weights (a, b) among `draws` [2, D, E] with the largest smallest gap of log ratios."""
    dim = variances.shape[1]
    if dim == 1:
        return draws[0, 0], draws[1, 0]
    ratios = jnp.log(draws[1] @ variances) - jnp.log(draws[0] @ variances)
    ordered = jnp.sort(ratios, axis=1)
    gaps = (ordered[:, 1:] - ordered[:, :-1]).min(axis=1)
    best = jnp.argmax(gaps)
    return draws[0, best], draws[1, best]


def match_rows(row_variances: Any, variances: Any) -> tuple[Int[Array, " d"], Float[Array | np.ndarray, " d"]]:
    """Which row of Q belongs to which component, and its factor, from the variances over environments.

    Rows keep their variance profile up to a factor, so the assignment minimises the spread over environments of
    log sigma2_{e,i} - log var_e(row j). Returns the row of every component and the scale that gives it the right
    variance (geometric mean over environments).
    Raises `ValueError` for other shapes than two of [E, d], and variances known not to be positive.
    """
    given = {"row_variances": row_variances, "variances": variances}
    row_variances, variances = (numbers("match_rows", name, value) for name, value in given.items())
    if row_variances.ndim != 2 or row_variances.shape != variances.shape or 0 in variances.shape:
        raise ValueError(
            f"match_rows: found row_variances {row_variances.shape} and variances {variances.shape}, wanted two [E, d]"
        )
    check_positive("match_rows", "row_variances", row_variances)
    check_positive("match_rows", "variances", variances)
    row_variances, variances = (jnp.asarray(value, float_type(value)) for value in (row_variances, variances))
    difference = jnp.log(variances)[:, :, None] - jnp.log(row_variances)[:, None, :]
    rows = best_assignment(-jnp.var(difference, axis=0))
    mean = jnp.take_along_axis(difference.mean(axis=0), rows[:, None], axis=1)[:, 0]
    return rows, jnp.exp(0.5 * mean)


@partial(jax.jit, inline=True)
def closed_form_unmixing(
    moments: Moments,
    means: Float[Array | np.ndarray, "E k"],
    variances: Float[Array | np.ndarray, "E k"],
    *,
    transition: Float[Array | np.ndarray, "d d"] | None = None,
) -> Float[Array, "k p"]:
    """Unmixing W = Q P [-F, I] [d_u, 2 d_y] with rows in the order, scale and sign of the known controls.

    F by regression on the past (or given: an estimate that allows for noise), P the range of the residual where
    d_u < d_y, Q by joint diagonalisation, order and scale by the variance profiles, signs by the means (left as they
    are where a mean is zero in every environment).
    Source: two-step estimator for the model of Rajendran et al. 2024.
    """
    found = innovation_regression(moments) if transition is None else innovations_of(transition, moments)
    dim, rank = moments.dim, variances.shape[1]
    base = jnp.concatenate([-found.transition, jnp.eye(dim, dtype=found.transition.dtype)], axis=1)
    mean, covariance = found.mean, found.covariance
    if rank < dim:
        span = residual_range(jnp.tensordot(moments.share, covariance, axes=1), rank)
        base, mean = span @ base, mean @ span.T
        covariance = jnp.einsum("ip,epq,jq->eij", span, covariance, span)
    rotation = joint_diagonalise(covariance, variances)
    profile = jnp.einsum("ip,epq,iq->ei", rotation, covariance, rotation)
    rows, scale = match_rows(profile, variances)
    rotation = scale[:, None] * rotation[rows]
    agreement = ((moments.share[:, None] * means / variances) * (mean @ rotation.T)).sum(axis=0)
    return jnp.where(agreement < 0, -1.0, 1.0)[:, None] * (rotation @ base)
