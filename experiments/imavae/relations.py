"""Between quantities of seeds that each have a world of their own: rank correlations, shares, bins."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments.imavae import sweeps
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

_RESAMPLES = 400
MCCS = ("MCC", "MCC, sampled batches")
"""of posterior means, and as the paper plots it"""


def per_seed(results: Mapping[str, Results], further: Sequence[str] = ()) -> dict[str, dict[str, np.ndarray]]:
    """arm -> metric -> one value per seed at its evaluation of smallest -ELBO, all cells of an arm pooled."""
    found = {}
    for arm, result in results.items():
        everyone = np.ones(len(result.trials), bool)
        names = [name for name in (*sweeps.METRICS, *further) if name in result.evaluation]
        found[arm] = {name: sweeps.chosen(result, everyone, name) for name in names}
    return found


def of_arm(arm: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every metric of `per_seed` as "<arm>: <metric>"; how far -ELBO is above its limit, and who has a dead dim."""
    return {
        **{f"{arm}: {name}": of_seeds for name, of_seeds in values.items()},
        f"{arm}: share with a dead dim": share(values["dead dims"]),
        f"{arm}: -ELBO above -L_IMA": values["-ELBO"] - values["-L_IMA"],
    }


def correlations(
    arm: str, values: Mapping[str, np.ndarray], firsts: Sequence[str], seconds: Sequence[str]
) -> dict[str, np.ndarray]:
    """ "<arm>: Spearman of <first> and <second>", as `spearman`, of every pair."""
    found = {}
    for first, second in itertools.product(firsts, seconds):
        found |= spearman(f"{arm}: Spearman of {first} and {second}", values[first], values[second])
    return found


def spearman(
    quantity: str, first: np.ndarray, second: np.ndarray, worlds: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Spearman's correlation over seeds, those that failed left out, and its sd over bootstrap samples of worlds.

    `worlds` tells which seeds share one, whose values are drawn together; by default every seed has its own. One value
    each; NaN for fewer than 3 seeds and for constants, the sd for fewer than 3 worlds too.
    """
    good = np.isfinite(first) & np.isfinite(second)
    first, second = first[good], second[good]
    own = np.arange(len(first)) if worlds is None else worlds[good]
    members = [np.flatnonzero(own == world) for world in np.unique(own)]
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(members), len(members)) for _ in range(_RESAMPLES)] if len(members) > 2 else []
    samples = [np.concatenate([members[world] for world in draw]) for draw in draws]
    spread = [rank_correlation(first[sample], second[sample]) for sample in samples]
    spread = [value for value in spread if np.isfinite(value)]
    return {
        quantity: np.array([rank_correlation(first, second)]),
        f"{quantity}, bootstrap sd": np.array([np.std(spread) if spread else np.nan]),
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation; NaN for fewer than 3 values and for constants."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1]


def share(counts: np.ndarray) -> np.ndarray:
    """The share of seeds with a count above 0, those that failed left out, as one value."""
    known = counts[np.isfinite(counts)]
    return np.array([np.mean(known > 0) if len(known) else np.nan])


def bins(at: np.ndarray, edges: Sequence[float]) -> Iterator[tuple[float, float, np.ndarray]]:
    """Low and high edge of every bin that is not empty, and which seeds lie in it."""
    for low, high in itertools.pairwise(edges):
        inside = (at >= low) & (at < high)
        if inside.any():
            yield low, high, inside


def middles(edges: Sequence[float]) -> list[float]:
    """The geometric means of bins."""
    return [float(np.sqrt(low * high)) for low, high in itertools.pairwise(edges)]


def recovery_figure(
    values: Mapping[str, np.ndarray],
    contrast: str,
    edges: Sequence[float],
    caption: str,
    *,
    references: Mapping[str, Mapping[float, float]] | None = None,
) -> list[Figure]:
    """MCC of seeds over the bins of a contrast, at the bins' geometric means; nothing where all are empty."""
    series: dict[str, dict[float, Any]] = {"posterior means": {}, "sampled batches": {}}
    for low, high, inside in bins(values[contrast], edges):
        for of_kind, name in zip(series.values(), MCCS, strict=True):
            of_kind[middles((low, high))[0]] = values[name][inside]
    if not any(series.values()):
        return []
    picture = over_parameter(series, contrast, "MCC", references=references, ylim=(-0.02, 1.02))
    return [Figure(caption, figure_png(picture))]
