"""Figures of `llm/languages`: rules by language and architecture beside chance, and the mass of the rules in time."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.llm import languages_claims as claims
from experiments.llm.language_group import MASSES
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.style import GRID, MUTED, canvas, legend, series_style
from identax.run import Results

_SHOWN = {
    claims.RULE: ("OOD rule1", "rule 1 of completed prompts"),
    claims.RULE2_OF_COMPLETION: ("OOD completion", "rule 2 of the completion"),
}


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Both rules off the support, greedy and drawn; shares of the mass of short strings over training."""
    found = claims.measure(config, results)
    drawn = []
    for quantity, (chance, label) in _SHOWN.items():
        if found:
            text = (
                f"Off the support: {label}, a mark per seed at its least loss on validation strings; full: the "
                "likeliest tokens, open: drawn ones. Grey: chance."
            )
            drawn.append(Figure(text, figure_png(_by_language(config, found, quantity, chance, label))))
    shown = {
        (point["languages"][point["place"]], point["architecture"]): (result, mask)
        for point, result, mask in cells(claims.arms(config), results)
        if f"mass of {MASSES[0]}" in result.evaluation
    }
    if shown:
        text = (
            "Shares of the probability of all short strings, by the rules these keep: each seed, and means over seeds."
        )
        drawn.append(Figure(text, figure_png(_over_steps(config, shown))))
    return drawn


def _by_language(config, found, quantity, chance, label):
    picture, axes = canvas((1.6 + 1.5 * len(config.languages), 3.6), "")
    width = 0.8 / len(config.architectures)
    for (column, name), (number, architecture) in itertools.product(
        enumerate(config.languages), enumerate(config.architectures)
    ):
        color, _ = series_style(number)
        x = column + (number - (len(config.architectures) - 1) / 2) * width
        for before, fill, shift in (("", color, -0.02), (claims.SAMPLED, "none", 0.02)):
            values = found.get(claims.row_name(architecture, name, before + quantity))
            if values is not None:
                named = architecture if not column and not before else None
                across = np.full(len(values), x + shift)
                axes.plot(across, values, "o", ms=4, mfc=fill, mec=color, mew=0.8, alpha=0.7, label=named)
    for column, name in enumerate(config.languages):
        level = found.get(f"{name}: {chance} by chance")
        if level is not None:
            axes.hlines(level, column - 0.45, column + 0.45, color=MUTED, lw=1.5, zorder=1)
    axes.set_xticks(range(len(config.languages)), list(config.languages))
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel(label)
    legend(picture, axes)
    return picture


def _over_steps(config, shown):
    rows = [name for name in config.languages if any(name == cell[0] for cell in shown)]
    columns = [one for one in config.architectures if any(one == cell[1] for cell in shown)]
    picture, axes = canvas((1.2 + 1.9 * len(columns), 1.0 + 1.5 * len(rows)), "")
    picture.delaxes(axes)
    grid = picture.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for (i, name), (j, architecture) in itertools.product(enumerate(rows), enumerate(columns)):
        axes = grid[i, j]
        axes.grid(color=GRID)
        axes.set_ylim(-0.04, 1.04)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if i == len(rows) - 1:
            axes.set_xlabel("steps", size=9)
        if not i:
            axes.set_title(architecture, size=9)
        if not j:
            axes.set_ylabel(name, size=9)
        if (name, architecture) not in shown:
            continue
        result, mask = shown[name, architecture]
        for number, (kept, shares) in enumerate(claims.mass_shares(result, mask).items()):
            color, dashes = series_style(number)
            axes.plot(result.evaluation_steps, shares.T, color=color, lw=0.5, alpha=0.4)
            axes.plot(result.evaluation_steps, shares.mean(axis=0), color=color, ls=dashes, lw=1.8, label=kept)
    drawn = next(axes for axes in grid.flat if axes.lines)
    legend(picture, drawn)
    return picture
