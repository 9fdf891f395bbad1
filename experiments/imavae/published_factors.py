"""The factors of the published image set: place, scale and hue with Beta laws, independent or tied by a copula."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import special, stats

from identax.dgp import polygon_sprites
from identax.dgp.copula import correlation_matrix
from identax.metrics import grid_coverage

ALPHA, BETA = (7.421, 2.002, 3.908, 4.421), (11.364, 5.930, 3.200, 6.492)
"""of x, y, scale and hue in the published image set (data.seed 1)"""
_MOST, _KNOTS = 6.0, 1025
"""normal quantiles from -6 to 6, between which float32 normals lie, at so many knots: 3e-6 of logit u between them"""


def published_factors(correlation: float = 0.0) -> Callable[[Key[Array, ""], int], Float[Array, "N 4"]]:
    """sample(key, N): x, y, scale and hue in their ranges, each by its own Beta law.

        u_k = F_k^-1(Phi(g_k)),    g ~ N(0, R),    R with `correlation` of every pair

    logit u_k is interpolated in a table over g_k. `jax.random.beta` and a Newton inverse draw of the same law, but by
    loops that take 4 s to compile in every program that samples.
    Raises `ValueError` for a correlation of no positive definite R.
    """
    factor = jnp.linalg.cholesky(correlation_matrix("published_factors", correlation, len(ALPHA)))
    low, high = _bounds()

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "N 4"]:
        g = jax.random.normal(key, (num, len(ALPHA)), factor.dtype) @ factor.T
        table = jnp.asarray(_logit_quantiles(), g.dtype)
        place = (jnp.clip(g, -_MOST, _MOST) + _MOST) * ((_KNOTS - 1) / (2 * _MOST))
        below = jnp.minimum(place.astype(int), _KNOTS - 2)
        column = jnp.arange(len(ALPHA))[None, :]
        start, end = table[below, column], table[below + 1, column]
        u = jax.nn.sigmoid(start + (place - below) * (end - start))
        return jnp.asarray(low, u.dtype)[None, :] + jnp.asarray(high - low, u.dtype)[None, :] * u

    return sample


@functools.cache
def _logit_quantiles() -> np.ndarray:
    """logit F_k^-1(Phi(g)) over g [knots, 4]; 1 - u from the other end of the law, so that no tail is rounded off."""
    g = np.linspace(-_MOST, _MOST, _KNOTS)[:, None]
    u, rest = stats.beta.ppf(special.ndtr(g), ALPHA, BETA), stats.beta.ppf(special.ndtr(-g), BETA, ALPHA)
    return np.log(u) - np.log(rest)


def unit(latents: jax.Array) -> jax.Array:
    """x, y, scale and hue [N, 4] in units of their ranges, 0 to 1: what the Beta laws are of."""
    low, high = (jnp.asarray(end, latents.dtype)[None, :] for end in _bounds())
    return (latents - low) / (high - low)


def _bounds() -> np.ndarray:
    return np.array([factor.bounds or (0.0, 1.0) for factor in polygon_sprites(size=8).grid.factors]).T


def coverage(latents: jax.Array) -> jax.Array:
    """The share of all combinations of lower, middle and upper thirds of the factors that occur among `latents`.

    Thirds of their laws: 81 combinations, of which 512 independent draws miss .2 % on average.
    """
    thirds = jnp.asarray(stats.beta.ppf([[[1 / 3]], [[2 / 3]]], ALPHA, BETA), latents.dtype)
    place = (unit(latents)[None] > thirds).sum(axis=0).astype(latents.dtype)
    return grid_coverage((place + 0.5) / 3, bins=3, low=0.0, high=1.0)
