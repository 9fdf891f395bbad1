"""Student's interval of differences that are paired over seeds."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """Mean of `num` paired differences, and the ends of the interval that holds the expectation."""

    mean: float
    low: float
    high: float
    num: int


def paired_interval(differences: Any, level: float = 0.95) -> Interval:
    """Student's interval of the expectation of paired differences [n]; those that are not finite are left out.

        mean +- t_{n - 1} s / sqrt(n)

    Where all are equal the interval is that value (an operator that never acts); with fewer than two it is NaN.
    Raises `ValueError` for a level outside (0, 1) and anything but [n].
    """
    values = np.asarray(differences, float)
    if values.ndim != 1 or not 0 < level < 1:
        raise ValueError(f"paired_interval: found {values.shape} and level={level}, wanted [n] and a level in (0, 1)")
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else np.nan, np.nan, np.nan, len(values))
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean, len(values))
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    return Interval(mean, float(low), float(high), len(values))


def interval_rows(row: str, differences: Any) -> dict[str, np.ndarray]:
    """The rows that a table has of paired differences [n]: themselves as `row`, and both ends of their interval.

    The ends are `ROW, 95 % low` and `ROW, 95 % high`, one value each. Raises `ValueError` as `paired_interval` does.
    """
    interval = paired_interval(differences)
    ends = {f"{row}, 95 % {end}": np.array([getattr(interval, end)]) for end in ("low", "high")}
    return {row: np.asarray(differences), **ends}
