"""Priors of variational autoencoders, as densities of the latent before it is squashed.

The encoder's normal posterior lives in R^n. A prior on (0, 1) is met by z = sigmoid(u), and its density is taken here
of u: with log sigmoid(u) and log sigmoid(-u) it is finite for every finite u, where log z, log(1 - z) or an indicator
of (0, 1) are not once z has rounded to 1. KL(q || p) is the same in u and in z.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, erf
from jaxtyping import Array

from identax.checks import check_finite, check_positive
from identax.losses._checks import Embeddings, Scalar, as_floats, as_number


class Prior(NamedTuple):
    """A prior whose coordinates are independent; every function works coordinate by coordinate on [..., n].

    `log_prob(u)`: log density of the unsquashed latent u. `curvature(u)` = -d^2 log_prob / du^2.
    `squash(u)`: z, what the decoder receives. `unsquash(z)`: u.
    `log_slope(u)`: log dz/du. `log_prob(u) - log_slope(u)` is the log density of z.
    `kl(mean, log_variance)`: KL(N(mean, exp(log_variance)) || prior) in closed form, None where there is none.
    """

    name: str
    log_prob: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    squash: Callable[[Array], Array]
    unsquash: Callable[[Array], Array]
    log_slope: Callable[[Array], Array]
    kl: Callable[[Array, Array], Array] | None = None


# Loose on purpose: a name, or a constructor that was not called, is refused by `check_prior`, in words.
if TYPE_CHECKING:
    GivenPrior = Prior
else:
    GivenPrior = object


def check_prior(where: str, prior: Any) -> None:
    """Raises `ValueError` for what is no `Prior`: a name, or a constructor that was not called."""
    if not isinstance(prior, Prior):
        raise ValueError(f"{where}: found prior={prior!r}, wanted a `Prior`, such as losses.gaussian_prior()")


def gaussian_prior(variance: Scalar = 1.0, mean: Scalar = 0.0) -> Prior:
    """u = z ~ N(mean, variance), each a number or [n], which may be traced.

        log p(u) = -1/2 [log 2 pi + log variance + (u - mean)^2 / variance]

    Raises `ValueError` for a known variance that is not finite and > 0 or a mean that is not finite, and (all priors
    with parameters) for those of more axes or, where densities are asked for, another number of latents.
    """
    variance = _parameter("gaussian_prior", "variance", variance)
    check_finite("gaussian_prior", "mean", mean)
    mean = _one_axis("gaussian_prior", "mean", mean)

    def log_prob(u):
        v, m = _like(variance, u), _like(mean, u)
        return -0.5 * (math.log(2 * math.pi) + jnp.log(v) + jnp.square(u - m) / v)

    def kl(mu, log_variance):
        v, m = _like(variance, mu), _like(mean, mu)
        # expm1 and log as one difference: a posterior close to the prior keeps its digits
        ratio = log_variance - jnp.log(v)
        return 0.5 * (jnp.square(mu - m) / v + jnp.expm1(ratio) - ratio)

    return _unsquashed("gaussian", log_prob, lambda u: jnp.broadcast_to(1 / _like(variance, u), u.shape), kl)


def laplace_prior(scale: Scalar = 1.0) -> Prior:
    """u = z ~ Laplace(0, scale), a number or [n], which may be traced.

        log p(u) = -log(2 scale) - |u| / scale

    Its curvature is 0 but at 0, where it has none. Raises `ValueError` for a known scale that is not finite and > 0.
    """
    scale = _parameter("laplace_prior", "scale", scale)

    def log_prob(u):
        b = _like(scale, u)
        return -jnp.log(2 * b) - jnp.abs(u) / b

    def kl(mu, log_variance):
        b, sigma = _like(scale, mu), jnp.exp(0.5 * log_variance)
        t = mu / (math.sqrt(2) * sigma)
        size = math.sqrt(2 / math.pi) * sigma * jnp.exp(-jnp.square(t)) + mu * erf(t)  # E |u|
        return jnp.log(2 * b) + size / b - 0.5 * (math.log(2 * math.pi) + 1 + log_variance)

    return _unsquashed("laplace", log_prob, jnp.zeros_like, kl)


def uniform_prior() -> Prior:
    """z = sigmoid(u) uniform on (0, 1): u has the logistic density.

    log p(u) = log s(u) + log s(-u),    -d^2/du^2 log p = 2 z (1 - z)
    """
    return _squashed("uniform", 1.0, 1.0)


def logistic_prior() -> Prior:
    """u = z with the logistic density: `uniform_prior` without the sigmoid before the decoder."""
    uniform = uniform_prior()
    return _unsquashed("logistic", uniform.log_prob, uniform.curvature)


def beta_prior(alpha: Scalar, beta: Scalar) -> Prior:
    """z = sigmoid(u) ~ Beta(alpha, beta), each a number or [n], which may be traced (learned).

        log p(u) = alpha log s(u) + beta log s(-u) - log B(alpha, beta),    -d^2/du^2 log p = (alpha + beta) z (1 - z)

    Raises `ValueError` for known parameters that are not finite and > 0.
    """
    alpha, beta = _parameter("beta_prior", "alpha", alpha), _parameter("beta_prior", "beta", beta)
    return _squashed("beta", alpha, beta)


def learned_beta_prior(raw: Embeddings) -> Prior:
    """`beta_prior` of free parameters: alpha = |raw_0| + 2, beta = |raw_1| + 2, both unimodal.

    Raises `ValueError` unless `raw` is [2, n].
    Source: Reizinger et al. 2022, code (the prior network's outputs).
    """
    (raw,) = as_floats("learned_beta_prior", raw=raw)
    if raw.ndim != 2 or raw.shape[0] != 2:
        raise ValueError(f"learned_beta_prior: found raw of shape {raw.shape}, wanted [2, n]")
    return _squashed("beta", jnp.abs(raw[0]) + 2, jnp.abs(raw[1]) + 2)


def _squashed(name, alpha, beta):
    def log_prob(u):
        a, b = _like(alpha, u), _like(beta, u)
        return a * jax.nn.log_sigmoid(u) + b * jax.nn.log_sigmoid(-u) - betaln(a, b)

    def curvature(u):
        return (_like(alpha, u) + _like(beta, u)) * jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)

    def unsquash(z):
        return jnp.log(z) - jnp.log1p(-z)

    def log_slope(u):
        return jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)

    return Prior(name, log_prob, curvature, jax.nn.sigmoid, unsquash, log_slope)


def _unsquashed(name, log_prob, curvature, kl=None):
    return Prior(name, log_prob, curvature, lambda u: u, lambda z: z, jnp.zeros_like, kl)


def _parameter(where, name, value):
    check_positive(where, name, value)
    return _one_axis(where, name, value)


def _one_axis(where, name, value):
    found = as_number(where, name, value)
    if np.ndim(found) > 1:
        raise ValueError(f"{where}: found {name} of shape {np.shape(found)}, wanted a number or [n]")
    return found


def _like(parameter, u):
    """A parameter, one number or [n], beside u [..., n]."""
    parameter = jnp.asarray(parameter, u.dtype)
    if parameter.ndim and parameter.shape[0] not in (1, *u.shape[-1:]):
        raise ValueError(
            f"prior: found parameters of {parameter.shape[0]} latents for u of shape {u.shape}, wanted as many"
        )
    return parameter.reshape((1,) * (u.ndim - parameter.ndim) + parameter.shape)
