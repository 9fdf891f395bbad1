"""Is the mean of scores over repeated splits different from chance?"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count
from identax.metrics._matching import Samples, as_floats


def standard_error(values: Samples, *, ddof: int = 1, overlap: float | int = 0.0) -> Float[Array, "..."]:
    """Standard error of the mean over the last axis.

        SE^2 = s^2 (1 / R + overlap),    s^2 = sum (a_r - mean)^2 / (R - ddof)

    `overlap` 0 is for independent values. Scores of R random splits of one data set are not: they share samples, and
    without a correction their mean looks more certain the more splits are drawn. `overlap` = n_test / n_train corrects
    for that (Nadeau & Bengio 2003). `ddof` 0 takes the population variance, as Reizinger et al. 2025.
    Raises `ValueError` for R <= ddof and a negative overlap.
    """
    (values,) = as_floats(values)
    _check("standard_error", values, overlap, ddof)
    return _moments(values, ddof)[1] * jnp.sqrt(1 / values.shape[-1] + overlap)


def one_sample_t_test(
    values: Samples,
    mean: float | int,
    *,
    alternative: str = "two-sided",
    overlap: float | int = 0.0,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Student's t-test over the last axis of whether the values' expectation is `mean`: t and p.

        t = (average - mean) / SE,    R - 1 degrees of freedom,    SE from `standard_error` with ddof 1

    `alternative`: "two-sided", "greater" or "less". Values that are all equal have t = +-inf, or 0 (p = 1, one-sided
    1/2) where they equal `mean`.
    Raises `ValueError` for fewer than 2 values, a negative overlap and an unknown alternative.
    Source: SciPy's `ttest_1samp` for overlap 0; Nadeau & Bengio 2003 for others.
    """
    check_choice("one_sample_t_test", "alternative", alternative, ("two-sided", "greater", "less"))
    (values,) = as_floats(values)
    _check("one_sample_t_test", values, overlap, 1)
    degrees = values.shape[-1] - 1
    average, deviation = _moments(values, 1)
    difference = average - mean
    error = deviation * jnp.sqrt(1 / values.shape[-1] + overlap)
    t = jnp.where(error > 0, difference / jnp.where(error > 0, error, 1.0), jnp.sign(difference) * jnp.inf)
    t = jnp.where((error == 0) & (difference == 0), 0.0, t)
    square = jnp.where(jnp.isinf(t), 0.0, t) ** 2
    tails = jnp.where(jnp.isinf(t), 0.0, betainc(degrees / 2, 0.5, degrees / (degrees + square)))
    if alternative == "two-sided":
        return t, tails
    above = t > 0 if alternative == "greater" else t < 0
    return t, jnp.where(above, tails / 2, 1 - tails / 2)


def bonferroni(p_values: Samples, num_tests: int | None = None) -> Float[Array, "..."]:
    """p-values corrected for `num_tests` tests (default: as many as there are): min(1, num_tests p).

    Raises `ValueError` for num_tests < 1.
    """
    (p_values,) = as_floats(p_values)
    num_tests = p_values.size if num_tests is None else num_tests
    check_count("bonferroni", "num_tests", num_tests)
    return jnp.minimum(1.0, num_tests * p_values)


def _moments(values, ddof):
    """Mean and standard deviation over the last axis, exact where all values are equal."""
    equal = jnp.max(values, axis=-1) == jnp.min(values, axis=-1)
    average = jnp.where(equal, values[..., 0], jnp.mean(values, axis=-1))
    variance = jnp.sum((values - average[..., None]) ** 2, axis=-1) / (values.shape[-1] - ddof)
    return average, jnp.where(equal, 0.0, jnp.sqrt(jnp.where(equal, 1.0, variance)))


def _check(where, values, overlap, ddof):
    if values.ndim == 0 or values.shape[-1] <= ddof or overlap < 0:
        raise ValueError(
            f"{where}: found values of shape {np.shape(values)} and overlap={overlap}, wanted at least {ddof + 1} "
            "along the last axis and overlap >= 0"
        )
