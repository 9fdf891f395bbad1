"""When a variational autoencoder does best to ignore its latents: the ELBO then, and the precisions where that ends."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq

from identax.assumptions._newton import newton
from identax.assumptions.ima import Function, decoded_shape, latents
from identax.assumptions.ima_elbo import Nodes, elbo_star, expected_kl
from identax.checks import check_count, check_finite, check_positive
from identax.inputs import float_type, numbers
from identax.losses.priors import GivenPrior, check_prior

_DECADES = (-2.0, 5.0)  # of precision times tr cov(x), where the threshold is looked for


class CollapsedPosterior(NamedTuple):
    """The normal posterior of u nearest to the prior, and its divergence from it in nats; all [d]."""

    mean: Any
    log_variance: Any
    kl: Any


def collapsed_posterior(prior: GivenPrior, dim: int) -> CollapsedPosterior:
    """argmin over (mu, sigma) of KL(N(mu, sigma^2) || prior), per latent: what an encoder gives that knows nothing.

    The prior itself for a Gaussian (divergence 0); sigma^2 = 3.058 and .009512 nats per latent for the logistic
    (uniform z); sigma = scale sqrt(pi/2) and .0484 nats for Laplace. Compiles once for each `prior` object and dim.
    Raises `ValueError` for dim < 1 and what is no `Prior`.
    Source: own; Reizinger et al. 2022's collapsed runs have these values.
    """
    check_count("collapsed_posterior", "dim", dim)
    check_prior("collapsed_posterior", prior)
    return _collapsed(prior, int(dim))


def collapsed_elbo(x: Any, *, prior: GivenPrior, precision: Any, dim: int) -> Float[Array, ""]:
    """The ELBO of a decoder that outputs the mean of x and an encoder that gives `collapsed_posterior`, exactly.

        D/2 log(gamma^2 / 2 pi) - gamma^2/2 tr cov(x) - sum of the divergences of `dim` latents

    in nats per sample, averaged over x [N, ...] of D dims, whose covariance is that of these samples (over N).
    Raises `ValueError` for x without samples and dims, a known precision <= 0, and dim < 1. Source: own.
    """
    check_positive("collapsed_elbo", "precision", precision, ())
    array = numbers("collapsed_elbo", "x", x)
    if np.ndim(array) < 2 or 0 in np.shape(array):
        raise ValueError(f"collapsed_elbo: found x of shape {np.shape(array)}, wanted [N, ...] with entries")
    dtype = float_type(array)
    flat = array.reshape(len(array), -1)
    spread = jnp.asarray(flat - flat.mean(axis=0, keepdims=True), dtype)
    precision = jnp.asarray(precision, dtype)
    variance = jnp.square(spread).sum(axis=1).mean()
    fit = 0.5 * flat.shape[1] * (jnp.log(precision) - math.log(2 * math.pi)) - 0.5 * precision * variance
    return fit - collapsed_posterior(prior, dim).kl.astype(dtype).sum()


def collapse_instability(x: Any) -> float:
    """The precision 1 / lambda_max(cov x) above which collapse is no local optimum, for any prior; x [N, ...].

    Below it no small use of a latent pays: moving posterior means by m costs m^2 / (2 sigma^2), and explains as much of
    the variance as probabilistic PCA does, whose first direction appears at this noise. Another optimum may be better
    earlier (`collapse_threshold`). inf for constant x.
    Raises `ValueError` for x without samples and dims or with entries that are not finite.
    Source: own; Tipping & Bishop 1999 for linear decoders.
    """
    check_finite("collapse_instability", "x", numbers("collapse_instability", "x", x))
    array = np.asarray(x, float)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"collapse_instability: found x of shape {array.shape}, wanted [N, ...] with entries")
    flat = array.reshape(len(array), -1)
    largest = np.linalg.norm(flat - flat.mean(axis=0, keepdims=True), 2) ** 2 / len(flat)
    return float(1 / largest) if largest > 0 else math.inf


def collapse_threshold(
    function: Function,
    z: Any,
    *,
    prior: GivenPrior,
    nodes: Nodes | None = None,
    num_steps: int = 60,
    digits: float | int = 1e-3,
) -> float:
    """The precision at which the true decoder with its best encoder overtakes the collapsed model; samples z [N, d].

        mean ELBO*(gamma^2) = collapsed_elbo(gamma^2),    x = function(z)

    to `digits` decades. A learned decoder may do better than the true one and leave collapse earlier, but not through
    small steps below `collapse_instability`. NaN where the two do not cross between 1e-2 and 1e5 over tr cov(x).
    Values must be known: not under `jit`. Raises `ValueError` as `elbo_star` and for digits <= 0. Source: own.
    """
    check_positive("collapse_threshold", "digits", digits, ())
    z = latents("collapse_threshold", z, prior)
    decoded_shape("collapse_threshold", function, z)
    x = np.asarray(function(z), float)
    size = float(x.reshape(len(x), -1).var(axis=0).sum())

    @functools.cache
    def lead(decade: float) -> float:
        precision = 10**decade / size
        best = elbo_star(function, z, prior=prior, precision=precision, nodes=nodes, num_steps=num_steps)
        return float(best.value.mean() - collapsed_elbo(x, prior=prior, precision=precision, dim=z.shape[1]))

    low, high = _DECADES
    if not size > 0 or not lead(low) < 0 < lead(high):
        return math.nan
    return float(10 ** brentq(lead, low, high, xtol=digits) / size)  # pyright: ignore[reportOperatorIssue]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _collapsed(prior, dim):
    def divergence(parameters):
        return expected_kl(parameters[:dim], 2 * parameters[dim:], prior)

    found = newton(lambda parameters: -divergence(parameters).sum(), jnp.zeros(2 * dim), 60).at
    return CollapsedPosterior(found[:dim], 2 * found[dim:], divergence(found))
