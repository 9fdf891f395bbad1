"""Figures of `llm/rule_extrapolation`: training as a path in the plane of loss and rule 1, and seeds in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.llm.rule_extrapolation_claims import arms
from experiments.llm.shared_claims import LOSS, RULE, learned_language
from identax.report import Figure, figure_png
from identax.report.style import INK, canvas, legend, series_style
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Paths of the means over seeds, and every seed where its loss is least."""
    shown = [arm.name for arm in arms(config) if arm.name in results]
    if not shown:
        return []
    floor = learned_language(config).entropy_floor()
    paths, axes = canvas((5.6, 4.0), "")
    for number, name in enumerate(shown):
        color, dashes = series_style(number)
        loss, rule = (np.nanmean(results[name].evaluation[what], axis=0) for what in (LOSS, RULE))
        axes.plot(rule, loss - floor, color=color, ls=dashes, lw=1.6, label=name)
        axes.plot(rule[:1], loss[:1] - floor, "o", color=color)
        axes.plot(rule[-1:], loss[-1:] - floor, "*", color=color, ms=11)
    _label(paths, axes)
    seeds, axes = canvas((5.6, 4.0), "")
    for number, name in enumerate(shown):
        color, _ = series_style(number)
        at = [results[name].at_best(what) for what in (RULE, LOSS)]
        axes.plot(at[0], at[1] - floor, "o", mfc="none", mec=color, label=name)
    _label(seeds, axes)
    return [
        Figure(
            "From start (dot) to end (star), means over seeds: the same losses, different rules.", figure_png(paths)
        ),
        Figure("Every seed at its least loss.", figure_png(seeds)),
    ]


def _label(figure, axes):
    axes.set_yscale("log")
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("prompts off the support whose completion keeps rule 1")
    axes.set_ylabel("loss above its floor (nats per token)")
    axes.grid(color=INK, alpha=0.1)
    legend(figure, axes)
