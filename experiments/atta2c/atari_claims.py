"""What `atta2c/atari` compares: the published scores of every cell, one run each, and ours."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.signal import lfilter

from experiments.atta2c.config import FEATURE_SD, PUBLISHED, VARIANTS, checked
from experiments.atta2c.figures import curves
from identax.assumptions import Report
from identax.checks import check_choice
from identax.experiment import Arm, Reference
from identax.paired import finite_mean
from identax.report import Figure
from identax.run import Results

STICKY = {"v4": 0.0, "v0": 0.25}
_SPAN = 1000
_PUBLISHED = {
    "pong-v4": (14.10, 14.89, 14.01, 14.02, 14.70),
    "breakout-v4": (44.75, 45.59, 43.44, 47.08, 44.88),
    "seaquest-v4": (1805.8, 1887.5, 2010.4, 1491.6, 1941.0),
    "pong-v0": (14.24, 14.81, 14.31, 13.99, 14.81),
    "breakout-v0": (42.80, 46.41, 43.23, 52.04, 42.33),
    "seaquest-v0": (2031.1, 1891.3, 1841.1, 1381.6, 2114.7),
}
"""cell -> largest smoothed return of baseline, ICM single, ICM double, AttA2C, RCM"""
_PUBLISHED_SD = {
    "pong-v4": (0.264, 0.288, 0.286, 0.919, 0.266),
    "breakout-v4": (0.391, 0.414, 0.406, 0.531, 0.403),
    "seaquest-v4": (0.268, 0.262, 0.287, 0.604, 0.269),
    "pong-v0": (0.256, 0.256, 0.272, 0.926, 0.274),
    "breakout-v0": (0.413, 0.407, 0.365, 0.570, 0.399),
    "seaquest-v0": (0.278, 0.265, 0.269, 0.596, 0.271),
}


def arms(config: Any) -> Sequence[Arm]:
    """Every variant in every cell."""
    checked(config)
    for name in config.variants:
        check_choice("atta2c/atari", "variant", name, tuple(VARIANTS))
    for version in config.versions:
        check_choice("atta2c/atari", "version", version, tuple(STICKY))
    return [
        Arm(f"{game}-{version}, {name}", dataclasses.replace(config, game=game, version=version, **VARIANTS[name]))
        for game in config.games
        for version in config.versions
        for name in config.variants
    ]


def _references(what: str, table: Mapping[str, Sequence[float]]) -> list[Reference]:
    return [
        Reference(f"{cell}, {name}: {what}", f"{value} (notebook, n = 1; curiosity's attention was never on)")
        for cell, values in table.items()
        for name, value in zip(PUBLISHED, values, strict=True)
    ]


REFERENCES = (*_references("score", _PUBLISHED), *_references(f"{FEATURE_SD} score", _PUBLISHED_SD))


def premises(config: Any) -> dict[str, Report]:
    """None: no theorem speaks of this."""
    return {}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed the published score, of returns and of `feature sd`, and the mean return over training."""
    found = {}
    for name, result in results.items():
        found[f"{name}: score"] = largest_average(result.train["recent return"])
        found[f"{name}: {FEATURE_SD} score"] = largest_average(result.train[FEATURE_SD])
        found[f"{name}: return, mean over training"] = finite_mean(result.train["game return"])
    return found


def largest_average(curves: np.ndarray, span: float = _SPAN) -> np.ndarray:
    """Largest exponential average of the finite entries of every row; NaN without any, as before the first game ended.

    `identax.metrics.best_average`, which compiles: what is measured is drawn again without compiling anything.
    """
    weight, best = 2 / (span + 1), np.full(len(curves), np.nan)
    for row, curve in enumerate(curves):
        known = curve[np.isfinite(curve)]
        if len(known):
            averages, _ = lfilter([weight], [1, weight - 1], known, zi=(1 - weight) * known[:1])
            best[row] = averages.max()
    return best


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Returns and `feature sd` over training, a figure for each cell."""
    found = []
    per_update = config.num_environments * config.rollout_length
    for cell in dict.fromkeys(name.split(",")[0] for name in results):
        own = {name.split(", ")[1]: result for name, result in results.items() if name.startswith(f"{cell},")}
        shown = {"recent return": "mean of the last ten games", FEATURE_SD: "standard deviation of the features"}
        for metric, words in shown.items():
            found.append(Figure(f"{cell}: {words} over training.", curves(own, metric, words, per_update)))
    return found
