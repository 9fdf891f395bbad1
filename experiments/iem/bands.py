"""Bands around what another run found: standard errors of the difference between its mean and ours."""

import math


def mean_band(mean: float, sd: float, of: float, own: float, errors: float) -> tuple[float, float]:
    """`errors` standard errors around a mean of `of` data sets (infinite: known by theory), ours being of `own`."""
    width = errors * sd * math.sqrt(1 / of + 1 / own)
    return mean - width, mean + width


def share_band(share: float, of: float, own: float, errors: float, *, least: float = 0.01) -> tuple[float, float]:
    """`mean_band` of a share; its spread is that of one at least `least` away from 0 and 1."""
    p = min(max(share, least), 1 - least)
    return mean_band(share, math.sqrt(p * (1 - p)), of, own, errors)
