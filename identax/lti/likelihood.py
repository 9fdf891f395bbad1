"""Log-likelihoods of a linear unmixing on pairs of observations: the published one, and the one with its Jacobian."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_finite, shape_of
from identax.inputs import float_type, numbers
from identax.lti._checks import Data, checked_pairs, per_sample


def published_loglik(unmixing: Data, pairs: Data, means: Data, variances: Data) -> Float[Array, " N"]:
    """Gaussian log-density of the reconstructed control u = W z, one value per pair; the published objective.

    -1/2 sum_i (w_i z - mu_i)^2 / sigma2_i - 1/2 sum_i log(2 pi sigma2_i), with z = [y_t, y_{t+1}].
    `unmixing` W [d_u, 2 d_y]; `pairs` [N, 2, d_y]; `means` and `variances` of the control at each pair, [N, d_u] or
    [d_u] for all. It leaves out the Jacobian of the change of variables, so that its maximum is not the true inverse
    (zero, where all means are zero): see `conditional_loglik`.
    Raises `ValueError` for shapes that do not fit and for variances that are not positive.
    Source: Rajendran et al. 2024, section 3 (objective as in the authors' code).
    """
    unmixing, z, means, variances = _checked("published_loglik", unmixing, pairs, means, variances)
    control = z @ unmixing.T
    return -0.5 * ((control - means) ** 2 / variances + jnp.log(2 * math.pi * variances)).sum(axis=1)


def conditional_loglik(unmixing: Data, pairs: Data, means: Data, variances: Data) -> Float[Array, " N"]:
    """log p(y_{t+1} | y_t) by the change of variables u = W_0 y_t + W_1 y_{t+1}, one value per pair.

    `published_loglik` + log|det W_1|, with `unmixing` W = [W_0, W_1] [d_y, 2 d_y]. At the true system
    W = (C B)^-1 [-F, I] with F = C A C^-1. -inf for a singular W_1.
    Raises `ValueError` as `published_loglik`, and unless d_u = d_y.
    Source: Rajendran et al. 2024, proof B.1 (change of variables); the term is absent from its objective.
    """
    shape = shape_of(unmixing)
    if len(shape) != 2 or shape[1] != 2 * shape[0]:
        raise ValueError(
            f"conditional_loglik: found unmixing {shape}, wanted [d, 2 d]: with d_u < d_y the density "
            "lives on the range of the residual, see identify_lti"
        )
    unmixing = _matrix("conditional_loglik", unmixing)
    _, logdet = jnp.linalg.slogdet(unmixing[:, shape[0] :])
    return published_loglik(unmixing, pairs, means, variances) + logdet


def _matrix(where, unmixing):
    unmixing = numbers(where, "unmixing", unmixing)
    check_finite(where, "unmixing", unmixing)
    return jnp.asarray(unmixing, float_type(unmixing))


def _checked(where, unmixing, pairs, means, variances):
    pairs = checked_pairs(where, pairs)
    unmixing = _matrix(where, unmixing)
    if unmixing.ndim != 2 or unmixing.shape[1] != 2 * pairs.shape[2]:
        raise ValueError(
            f"{where}: found unmixing {unmixing.shape} for pairs {pairs.shape}, wanted [d_u, {2 * pairs.shape[2]}]"
        )
    dim = unmixing.shape[0]
    means = per_sample(where, "means", means, pairs.shape[0], dim)
    variances = per_sample(where, "variances", variances, pairs.shape[0], dim, positive=True)
    return unmixing, pairs.reshape(pairs.shape[0], -1), means, variances
