"""Seeds put together: intervals of paired differences, of the expectation (Student's) and of the median, and a mean."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from identax.checks import check_between
from identax.inputs import numbers


class Interval(NamedTuple):
    """Mean or median of `num` paired differences, and the ends of the interval that holds that of their law."""

    mean: float
    low: float
    high: float
    num: int


def paired_interval(differences: Any, level: float = 0.95) -> Interval:
    """Student's interval of the expectation of paired differences [n]; those that are not finite are left out.

        mean +- t_{n - 1} s / sqrt(n)

    Where all are equal the interval is that value (an operator that never acts); with fewer than two it is NaN.
    Raises `ValueError` for a level outside (0, 1) and anything but numbers [n].
    """
    values = _finite("paired_interval", differences, level)
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else np.nan, np.nan, np.nan, len(values))
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean, len(values))
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    return Interval(mean, float(low), float(high), len(values))


def median_interval(differences: Any, level: float = 0.95) -> Interval:
    """Interval of the median of paired differences [n], whatever their law; those that are not finite are left out.

        from x_(k) to x_(n + 1 - k), the largest k with P(Binomial(n, 1/2) < k) <= (1 - level) / 2

    One outlier does not widen it. It holds the median with at least `level`: of eight differences it reaches from the
    smallest to the largest (.992), below 0 or above it where the sign test says so. With too few, up to five at .95,
    there is none: NaN. `mean` is the median of the differences.
    Raises `ValueError` as `paired_interval`.
    """
    values = np.sort(_finite("median_interval", differences, level))
    num = len(values)
    middle = float(np.median(values)) if num else np.nan
    chances = stats.binom.cdf(np.arange(num), num, 0.5)
    k = int((chances <= (1 - level) / 2).sum())
    if k == 0:
        return Interval(middle, np.nan, np.nan, num)
    return Interval(middle, float(values[k - 1]), float(values[num - k]), num)


def _finite(where: str, differences: Any, level: Any) -> np.ndarray:
    values = np.asarray(numbers(where, "differences", differences), float)
    check_between(where, "level", level, 0, 1, ())
    if values.ndim != 1 or not 0 < level < 1:
        raise ValueError(f"{where}: found {values.shape} and level={level}, wanted [n] and a level in (0, 1)")
    return values[np.isfinite(values)]


def finite_mean(values: Any) -> np.ndarray:
    """Mean of the finite entries of every row of [T, n], NaN in rows that have none.

    Raises `ValueError` for anything but numbers [T, n].
    """
    values = np.asarray(numbers("finite_mean", "values", values))
    if values.ndim != 2:
        raise ValueError(f"finite_mean: found values of shape {values.shape}, wanted [T, n]")
    good = np.isfinite(values)
    return np.where(good.any(axis=1), np.where(good, values, 0).sum(axis=1) / np.maximum(good.sum(axis=1), 1), np.nan)


def interval_rows(row: str, differences: Any) -> dict[str, np.ndarray]:
    """The rows that a table has of paired differences [n]: themselves as `row`, and both ends of Student's interval.

    The ends are `ROW, 95 % low` and `ROW, 95 % high`, one value each. Raises `ValueError` as `paired_interval` does.
    """
    return {row: np.asarray(differences), **interval_ends(row, paired_interval(differences))}


def interval_ends(row: str, interval: Interval) -> dict[str, np.ndarray]:
    """`ROW, 95 % low` and `ROW, 95 % high`: one value each."""
    return {f"{row}, 95 % {end}": np.array([getattr(interval, end)]) for end in ("low", "high")}
