"""Is the mean of scores over repeated splits different from chance?"""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count, check_shape, shape_of
from identax.inputs import centred, float_type, numbers
from identax.metrics._samples import Samples


def standard_error(values: Samples, *, ddof: int = 1, overlap: float | int = 0.0) -> Float[Array, "..."]:
    """Standard error of the mean over the last axis.

        SE^2 = s^2 (1 / R + overlap),    s^2 = sum (a_r - mean)^2 / (R - ddof)

    `overlap` 0 is for independent values. Scores of R random splits of one data set are not: they share samples, and
    without a correction their mean looks more certain the more splits are drawn. `overlap` = n_test / n_train corrects
    for that (Nadeau & Bengio 2003). `ddof` 0 takes the population variance, as Reizinger et al. 2025.
    Raises `ValueError` for R <= ddof and a negative overlap.
    """
    values = numbers("standard_error", "values", values)
    _check("standard_error", values, overlap, ddof)
    (values,) = centred("standard_error", axis=-1, values=values)
    return _error(values, 1 / values.shape[-1] + overlap, ddof)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _error(values, share, ddof):
    return _moments(values, ddof)[1] * jnp.sqrt(share)


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
    values, expected = (numbers("one_sample_t_test", *pair) for pair in (("values", values), ("mean", mean)))
    _check("one_sample_t_test", values, overlap, 1)
    check_shape("one_sample_t_test", "mean", expected, ())
    # What is taken off the values, exactly, is taken off it too: one number for every row of values.
    expected = jnp.asarray(expected) if isinstance(values, jax.Array) else expected
    values, expected = centred("one_sample_t_test", axis=-1, scaled=True, values=values, mean=expected)
    return _t_test(values, expected, 1 / values.shape[-1] + overlap, alternative)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _t_test(values, mean, share, alternative):
    degrees = values.shape[-1] - 1
    average, deviation = _moments(values, 1)
    difference = average - jnp.broadcast_to(mean, (*values.shape[:-1], 1))[..., 0]
    error = deviation * jnp.sqrt(share)
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
    p_values = numbers("bonferroni", "p_values", p_values)
    count = p_values.size if num_tests is None else num_tests
    if 0 in shape_of(p_values):
        raise ValueError(f"bonferroni: found p_values of shape {shape_of(p_values)}, wanted one at least")
    check_count("bonferroni", "num_tests", count)
    return jnp.minimum(1.0, count * jnp.asarray(p_values, float_type(p_values)))


def _moments(values, ddof):
    """Mean and standard deviation over the last axis, exact where all values are equal."""
    equal = jnp.max(values, axis=-1) == jnp.min(values, axis=-1)
    average = jnp.where(equal, values[..., 0], jnp.mean(values, axis=-1))
    variance = jnp.sum((values - average[..., None]) ** 2, axis=-1) / (values.shape[-1] - ddof)
    return average, jnp.where(equal, 0.0, jnp.sqrt(jnp.where(equal, 1.0, variance)))


def _check(where, values, overlap, ddof):
    if values.ndim == 0 or 0 in values.shape or values.shape[-1] <= ddof or overlap < 0:
        raise ValueError(
            f"{where}: found values of shape {shape_of(values)} and overlap={overlap}, wanted at least {ddof + 1} "
            "along the last axis and overlap >= 0"
        )
