"""Between quantities of seeds that each have a world of their own: rank correlations, shares, bins."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments.imavae import sweeps
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

_RESAMPLES = 400


def per_seed(results: Mapping[str, Results], further: Sequence[str] = ()) -> dict[str, dict[str, np.ndarray]]:
    """arm -> metric -> one value per seed at its evaluation of smallest -ELBO, all cells of an arm pooled."""
    found = {}
    for arm, result in results.items():
        everyone = np.ones(len(result.trials), bool)
        names = [name for name in (*sweeps.METRICS, *further) if name in result.evaluation]
        found[arm] = {name: sweeps.chosen(result, everyone, name) for name in names}
    return found


def spearman(quantity: str, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Spearman's correlation over seeds, those that failed left out, and its sd over bootstrap samples of seeds.

    One value each; NaN for fewer than 3 seeds and for constants.
    """
    good = np.isfinite(first) & np.isfinite(second)
    first, second = first[good], second[good]
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(first), len(first)) for _ in range(_RESAMPLES)] if len(first) > 2 else []
    spread = [_rank_correlation(first[draw], second[draw]) for draw in draws]
    spread = [value for value in spread if np.isfinite(value)]
    return {
        quantity: np.array([_rank_correlation(first, second)]),
        f"{quantity}, bootstrap sd": np.array([np.std(spread) if spread else np.nan]),
    }


def _rank_correlation(first, second):
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1]


def share(counts: np.ndarray) -> np.ndarray:
    """The share of seeds with a count above 0, those that failed left out, as one value."""
    known = counts[np.isfinite(counts)]
    return np.array([np.mean(known > 0) if len(known) else np.nan])


def binned_figure(
    at: np.ndarray,
    series: Mapping[str, np.ndarray],
    edges: Sequence[float],
    labels: tuple[str, str],
    caption: str,
    *,
    references: Mapping[str, Mapping[float, float]] | None = None,
) -> list[Figure]:
    """Values of seeds over the bins of another quantity, at the bins' geometric means; nothing where all are empty."""
    binned: dict[str, dict[float, Any]] = {label: {} for label in series}
    for low, high in itertools.pairwise(edges):
        inside = (at >= low) & (at < high)
        if inside.any():
            for label, values in series.items():
                binned[label][float(np.sqrt(low * high))] = values[inside]
    if not any(binned.values()):
        return []
    return [Figure(caption, figure_png(over_parameter(binned, *labels, references=references, ylim=(-0.02, 1.02))))]
