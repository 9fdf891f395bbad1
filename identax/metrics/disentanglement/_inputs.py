"""Checks shared by the disentanglement scores, and what they take as discrete."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_between, concrete
from identax.inputs import numbers
from identax.metrics._samples import Samples, matrices, warn_of_few
from identax.metrics.regression import all_finite


def read_pair(
    where: str, factors: Samples, estimates: Samples, *, factors_min: int = 1, dims_min: int = 1, few: bool = True
) -> tuple[Any, Any]:
    """Returns factors [N, K] and estimates [N, m] as arrays, booleans as integers: levels 0 and 1.

    Raises `ValueError` for other shapes, too few columns, NaN, or a constant factor; warns (`few`) of fewer samples
    than dims. Values are looked at where they are known, that is outside compiled programs.
    """
    factors, estimates = (_levels_of_booleans(array) for array in matrices(where, factors=factors, estimates=estimates))
    for name, array, least in (("factors", factors, factors_min), ("estimates", estimates, dims_min)):
        if array.shape[1] < least:
            raise ValueError(f"{where}: found {array.shape[1]} columns of {name}, wanted at least {least}")
        known = concrete(array)
        if known is not None and not np.isfinite(known).all():
            raise ValueError(f"{where}: found {name} with values that are not finite, wanted numbers")
    check_varying(where, factors)
    if few:
        warn_of_few(where, stacklevel=4, factors=factors, estimates=estimates)
    return factors, estimates


def read_factors(where: str, factors: Samples) -> Any:
    """Returns factors [N, K] as `read_pair` does."""
    factors = _levels_of_booleans(numbers(where, "factors", factors))
    if factors.ndim != 2 or 0 in factors.shape:
        raise ValueError(f"{where}: found factors of shape {factors.shape}, wanted [N, K]")
    check_varying(where, factors)
    return factors


def _levels_of_booleans(array: Any) -> Any:
    return array.astype(np.int8) if array.dtype == bool else array


def check_varying(where: str, factors: Samples) -> None:
    """Raises `ValueError` where a known factor has one value in all samples: nothing can be said about it."""
    values = concrete(factors)
    if values is not None:
        constant = np.flatnonzero((values == values[:1]).all(axis=0)).tolist()
        if constant:
            raise ValueError(
                f"{where}: found constant factors (columns {constant}), wanted at least two values of each"
            )


def host_arrays(where: str, *arrays: Samples) -> list[Any]:
    """Returns the arrays in NumPy; raises `ValueError` inside compiled programs, for what calls scikit-learn."""
    known = [concrete(array) for array in arrays]
    if any(array is None for array in known):
        raise ValueError(f"{where}: found arrays of a compiled program, wanted known values: it calls scikit-learn")
    return known


def held_out(
    where: str, factors: Samples, estimates: Samples, test_factors: Samples | None, test_estimates: Samples | None
) -> tuple[Samples, Samples]:
    """Returns the samples to score on: the test arrays, or the same ones without them."""
    if test_factors is None and test_estimates is None:
        return factors, estimates
    if test_factors is None or test_estimates is None:
        raise ValueError(f"{where}: found one of test_factors and test_estimates, wanted both or none")
    seen, seen_estimates = read_pair(where, test_factors, test_estimates, few=False)
    if seen.shape[1] != factors.shape[1] or seen_estimates.shape[1] != estimates.shape[1]:
        raise ValueError(
            f"{where}: found test arrays {seen.shape}, {seen_estimates.shape} for {factors.shape}, "
            f"{estimates.shape}, wanted the same columns"
        )
    return seen, seen_estimates


def is_discrete(values: Samples) -> bool:
    """Whether the values are integers: these are levels of a discrete variable, all others are continuous."""
    return bool(jnp.issubdtype(values.dtype, jnp.integer))


def factor_levels(where: str, factors: Samples, num_levels: int | None) -> tuple[Array, int]:
    """Returns integer factors as levels 0, 1, ... and the number of levels.

    Without `num_levels` the values of every factor are numbered in their order, for which they must be known.
    Raises `ValueError` if they are not, or for values outside 0..num_levels-1.
    """
    if num_levels is None:
        known = concrete(factors)
        if known is None:
            raise ValueError(
                f"{where}: found integer factors in a compiled program without num_levels, wanted it, static"
            )
        columns = [np.unique(column, return_inverse=True)[1] for column in known.T]
        levels = np.stack(columns, axis=1)
        return jnp.asarray(levels), int(levels.max()) + 1
    check_between(where, "factors", factors, 0, num_levels - 1)
    return jnp.asarray(factors), num_levels


def only_finite(score: Array, *arrays: Samples) -> Array:
    """Returns the score, NaN where an input is not finite: inside compiled programs nothing can be raised."""
    # Those of the host are looked at there: finite in float64 need not be finite in float32.
    finite = [np.isfinite(array).all() if isinstance(array, np.ndarray) else all_finite(array) for array in arrays]
    return jnp.where(jnp.stack([jnp.asarray(one) for one in finite]).all(), score, jnp.nan)


def ratio(numerator: Array, denominator: Array, otherwise: float) -> Array:
    """Returns the quotient, `otherwise` where the denominator is not positive; safe to differentiate."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), otherwise)


@jax.jit
def gaps_of_best(scores: Float[Array, "K m"]) -> Float[Array, " K"]:
    """Returns by how much the largest entry of every row exceeds the second largest."""
    largest = jax.lax.top_k(scores, 2)[0]
    return largest[:, 0] - largest[:, 1]


def entropy_of_shares(shares: Array) -> Array:
    """Returns -sum p log p over the last axis, in nats, 0 log 0 = 0."""
    return -jnp.sum(jax.scipy.special.xlogy(shares, shares), axis=-1)
