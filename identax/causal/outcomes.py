"""What an independence test returns, and p-values from the first moments of a statistic under independence."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import gammaincc
from jaxtyping import Array, Float


class IndependenceTest(NamedTuple):
    """A statistic, how likely one so large is under independence, and what the statistic is like then."""

    statistic: Float[Array, "*tests"]
    p_value: Float[Array, "*tests"]
    null_mean: Float[Array, "*tests"]
    """mean of the statistic under independence, as the test takes it"""
    null_variance: Float[Array, "*tests"]


def gamma_tail(statistic, mean, variance):
    """P(Gamma >= statistic) of the gamma law of that mean and variance; 1 where either is 0, NaN where one is NaN.

        shape = mean^2 / variance,   scale = variance / mean,   P = Q(shape, statistic / scale)

    with Q the regularised upper incomplete gamma function: no 1 - cdf, so small p-values keep their digits.
    """
    unknown = jnp.isnan(statistic) | jnp.isnan(mean) | jnp.isnan(variance)
    spread = (mean > 0) & (variance > 0)
    mean, variance = jnp.where(spread, mean, 1.0), jnp.where(spread, variance, 1.0)
    at = jnp.maximum(jnp.where(spread, statistic, 0.0), 0.0) * mean / variance
    return jnp.where(unknown, jnp.nan, jnp.where(spread, gammaincc(mean * mean / variance, at), 1.0))


def gamma_test(statistic, mean, variance, certain=False) -> IndependenceTest:
    """The outcome under the gamma approximation; p = 1 where `certain`: what is constant depends on nothing."""
    p = jnp.where(certain & ~jnp.isnan(statistic), 1.0, gamma_tail(statistic, mean, variance))
    return IndependenceTest(statistic, p, mean, variance)


def chi2_tail(statistic, degrees):
    """P(chi^2 >= statistic), 1 at 0 degrees of freedom; never a derivative at a statistic of 0."""
    some = degrees > 0
    at = jnp.maximum(jnp.where(some, statistic, 0.0), 0.0) / 2
    return jnp.where(some, gammaincc(jnp.where(some, degrees, 1.0) / 2, at), 1.0)
