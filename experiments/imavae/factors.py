"""Factors with and without all their combinations, at equal marginals: what `support` draws its worlds from."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm

from identax.dgp.copula import correlation_matrix
from identax.metrics import grid_coverage
from identax.rng import stream

SD = 0.15
"""of Gaussian factors: their cube of +-1/2 is 3.3 of it, where a Moebius map of unit clearance is tame"""


class Factors(NamedTuple):
    """`sample(key, num) -> [num, n]`, `log_prob(s) -> [N]`, and the bounds of the domain (None: unbounded)."""

    sample: Callable
    log_prob: Callable
    bounds: tuple[float, float] | None

    def coverage(self, s: Any) -> Any:
        """The share of a grid's cells over the domain (unbounded: over the draws) in which a draw s [N, n] lies."""
        low, high = self.bounds or (None, None)
        return grid_coverage(s, low=low, high=high)


def uniform_factors(n: int) -> Factors:
    """Independent, uniform on the cube +-1/2: all combinations, equally often."""
    return Factors(lambda key, num: jax.random.uniform(key, (num, n)) - 0.5, lambda s: jnp.zeros(len(s)), (-0.5, 0.5))


def gaussian_factors(n: int) -> Factors:
    """Independent N(0, `SD`^2): all combinations, but of no product domain, and the same when turned."""
    return Factors(
        lambda key, num: SD * jax.random.normal(key, (num, n)),
        lambda s: norm.logpdf(s, scale=SD).sum(axis=1),
        None,
    )


def copula_factors(n: int, correlation: float) -> Factors:
    """Uniform marginals on +-1/2 that a Gaussian copula correlates, every pair alike: full support for |rho| < 1.

    Raises `ValueError` for a correlation of no positive definite matrix.
    """
    correlation_matrix("copula_factors", correlation, n)
    covariance = np.full((n, n), correlation) + (1 - correlation) * np.eye(n)
    root, precision = jnp.asarray(np.linalg.cholesky(covariance)), jnp.asarray(np.linalg.inv(covariance))
    constant = -0.5 * float(np.linalg.slogdet(covariance)[1])

    def log_prob(s):
        edge = jnp.finfo(s.dtype).eps  # a draw may round to the end of its range, whose quantile is infinite
        g = ndtri(jnp.clip(s + 0.5, edge, 1 - edge))
        return constant - 0.5 * ((g @ precision) * g).sum(axis=1) + 0.5 * jnp.square(g).sum(axis=1)

    return Factors(lambda key, num: ndtr(jax.random.normal(key, (num, n)) @ root.T) - 0.5, log_prob, (-0.5, 0.5))


def cut_factors(n: int, *, bins: int = 5, missing: int = 2) -> Factors:
    """Uniform marginals on +-1/2, but never all factors among their `missing` highest bins of `bins`: a corner is cut.

    Densities of the remaining cells are fitted to the marginals (iterative proportional fitting); 2 missing < bins is
    what leaves a solution. Raises `ValueError` where there is none.
    """
    if not 0 <= missing or 2 * missing >= bins:
        raise ValueError(f"cut_factors: found missing={missing} of {bins} bins, wanted less than half of them")
    share = _fitted(n, bins, missing)
    logits = jnp.log(jnp.asarray(share.reshape(-1)))

    def sample(key, num):
        # By one uniform a draw: `categorical` takes one for every cell, which was most of the world's cost.
        drawn = jax.random.choice(stream(key, "cell"), share.size, (num,), p=jnp.exp(logits))
        cell = jnp.unravel_index(drawn, share.shape)
        place = jnp.stack(cell, axis=1) + jax.random.uniform(stream(key, "place"), (num, n))
        return place / bins - 0.5

    def log_prob(s):
        cell = jnp.clip(jnp.floor((s + 0.5) * bins).astype(int), 0, bins - 1)
        index = jnp.ravel_multi_index(tuple(cell.T), share.shape, mode="clip")
        return logits[index] + n * math.log(bins)

    return Factors(sample, log_prob, (-0.5, 0.5))


def _fitted(n: int, bins: int, missing: int) -> np.ndarray:
    share = np.ones((bins,) * n)
    for cell in itertools.product(range(bins - missing, bins), repeat=n):
        share[cell] = 0
    for _ in range(500):
        for axis in range(n):
            others = tuple(k for k in range(n) if k != axis)
            share = share / (bins * share.sum(axis=others, keepdims=True))
    return share
