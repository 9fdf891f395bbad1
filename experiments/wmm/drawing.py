"""What the pages of this paper show: paired differences of every cell with their intervals, and learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure

from experiments.wmm.paired import BASELINE, measured
from identax.experiment import Arm
from identax.paired import paired_interval
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.report.style import INK, PALETTE, canvas
from identax.run import Results


def difference_figures(arms: Sequence[Arm], results: Mapping[str, Results], metrics: Mapping[str, str]) -> list[Figure]:
    """For each of {metric: caption} the differences of all cells to the baseline, where both were run."""
    rows = measured(arms, results, tuple(metrics))
    drawn = []
    for metric, caption in metrics.items():
        end = f": {metric} - {BASELINE}"
        differences = {row.removesuffix(end): values for row, values in rows.items() if row.endswith(end)}
        if differences:
            drawn.append(
                Figure(f"{caption} Dots are seeds, bars 95 % intervals.", figure_png(forest(differences, metric)))
            )
    return drawn


def forest(differences: Mapping[str, Any], metric: str) -> figure.Figure:
    """Draws label -> paired differences [n] as dots, their means as squares, 95 % intervals as bars, 0 as a line."""
    made, axes = canvas((6.4, 1.1 + 0.3 * len(differences)), "")
    for place, values in enumerate(differences.values()):
        interval, values = paired_interval(values), np.asarray(values, float)
        values = values[np.isfinite(values)]
        axes.plot(values, np.full(len(values), place), "o", ms=3.5, mfc="none", mec=PALETTE[0], mew=0.8, alpha=0.6)
        axes.hlines(place, interval.low, interval.high, color=PALETTE[0], lw=2)
        axes.plot(interval.mean, place, "s", ms=5, color=PALETTE[0])
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel(f"{metric}, operator less baseline")
    return made


def curve_figures(
    arms: Sequence[Arm],
    results: Mapping[str, Results],
    metrics: Mapping[str, str],
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Figure]:
    """For each of {metric: caption} the learning curves of the first, published, cell of every trained arm.

    `levels`: {metric: {label: level}} of predictors that learn nothing.
    """
    drawn = []
    for metric, caption in metrics.items():
        curves, steps = {}, None
        for at, result, mask in cells(arms, results):
            if metric in result.evaluation and at["arm"] not in curves:
                steps, curves[at["arm"]] = result.evaluation_steps, result.evaluation[metric][mask]
        if steps is not None and len({values.shape[1] for values in curves.values()}) == 1:
            picture = learning_curves(steps, curves, metric, references=(levels or {}).get(metric))
            drawn.append(Figure(caption, figure_png(picture)))
    return drawn
