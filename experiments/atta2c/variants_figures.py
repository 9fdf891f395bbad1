"""Figures of `atta2c/variants`: returns and spread of features over training with intervals, scores, a game."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.atta2c.config import BASELINE
from experiments.atta2c.variants_claims import (
    RELEASED,
    RETURN,
    interval,
    mean_of,
    measure,
    of_game,
    own_arms,
)
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.grids import tiles
from identax.report.style import DASHES, canvas, legend, series_style
from identax.run import Results

COLOURS = {"orange": (0.9, 0.6, 0.0), "blue": (0.35, 0.7, 0.9), "green": (0.0, 0.6, 0.5), "pink": (0.8, 0.4, 0.7)}
"""of a frame's first four channels; further ones begin again"""
OBJECTS = {
    "Breakout-MinAtar": ("paddle", "ball", "where the ball was", "bricks"),
    "Asterix-MinAtar": ("player", "enemies", "where they were", "treasure"),
}
"""what the channels of a game are"""


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Game by game: curves, scores relative to the best variant, and what a greedy agent sees."""
    measured = measure(config, results)
    return [
        dataclasses.replace(figure, caption=of_game(game, figure.caption))
        for game in config.games
        if (own := own_arms(game, results))
        for figure in _in_game(config, game, own, measured)
    ]


def _in_game(config: Any, game: str, results: Mapping[str, Results], measured: Mapping[str, Any]) -> list[Figure]:
    per_update = config.num_environments * config.rollout_length
    found = [
        Figure(
            "raw returns of the games that ended in a chunk of updates: means over seeds with their 95 % intervals.",
            curves(results, RETURN, "return of a game", per_update),
        ),
        Figure(
            "spread of the recurrent features over environments and features, the published proxy of exploration.",
            curves(results, "feature sd", "standard deviation of the features", per_update),
        ),
    ]
    scores: dict[str, dict[str, np.ndarray]] = {}
    for name in results if BASELINE in results else ():
        reading = "as released" if name.endswith(RELEASED) else "as described"
        scores.setdefault(reading, {})[name.removesuffix(RELEASED)] = measured[of_game(game, f"{name}: relative score")]
    if scores:
        caption = "largest mean return of the last ten games over that of the best variant, by seed."
        found.append(Figure(caption, figure_png(bars(scores, "relative score"))))
    seen = {name: result.kept("frames")[0] for name, result in results.items() if "frames" in result.arrays}
    if seen:
        pictures = np.stack([[coloured(frame) for frame in frames] for frames in seen.values()])
        caption = "what the greedy agent of seed 0 sees, step by step from the start of a game."
        parts = zip(COLOURS, OBJECTS.get(game, ()), strict=False)
        what = ", ".join(f"{part} {colour}" for colour, part in parts)
        caption = f"{caption[:-1]}: {what}." if what else caption
        found.append(Figure(caption, figure_png(tiles(pictures, rows=tuple(seen)))))
    return found


def curves(results: Mapping[str, Results], metric: str, ylabel: str, per_update: int) -> bytes:
    """Means over seeds with Student's intervals; a released arm is dashed, in the colour of its variant."""
    figure, axes = canvas((5.6, 3.8), "")
    variants = list(dict.fromkeys(name.removesuffix(RELEASED) for name in results))
    for name, result in results.items():
        color, dashes = series_style(variants.index(name.removesuffix(RELEASED)))
        dashes = DASHES[2] if name.endswith(RELEASED) else dashes
        later = result.train_steps > 1
        steps, values = result.train_steps[later] * per_update / 1000, result.train[metric][:, later]
        mean = mean_of(values.T)
        ends = np.array([interval(column) for column in values.T])
        axes.plot(steps, mean, color=color, ls=dashes, lw=2, label=name)
        axes.fill_between(steps, ends[:, 0], ends[:, 1], color=color, alpha=0.14, lw=0)
    axes.set_xlabel("thousand steps of an agent")
    axes.set_ylabel(ylabel)
    legend(figure, axes)
    return figure_png(figure)


def coloured(frame: np.ndarray) -> np.ndarray:
    """A frame [H, W, C] of one object per channel as a picture [H, W, 3], a colour for each channel."""
    colours = np.array(list(COLOURS.values()))
    weights = np.asarray(frame, float) / max(float(np.max(frame)), 1.0)
    return np.clip(weights @ np.resize(colours, (frame.shape[-1], 3)), 0, 1)
