"""What figures of several experiments of this paper share: curves over training, and frames of games."""

from collections.abc import Iterable, Mapping

import numpy as np

from experiments.atta2c.config import RELEASED
from identax.paired import finite_mean, paired_interval
from identax.report import figure_png
from identax.report.style import DASHES, canvas, legend, series_style
from identax.run import Results

COLOURS = {"orange": (0.9, 0.6, 0.0), "blue": (0.35, 0.7, 0.9), "green": (0.0, 0.6, 0.5), "pink": (0.8, 0.4, 0.7)}
"""of a frame's first four channels; further ones begin again"""
OBJECTS = {
    "Breakout-MinAtar": ("paddle", "ball", "where the ball was", "bricks"),
    "Asterix-MinAtar": ("player", "enemies", "where they were", "treasure"),
    "SpaceInvaders-MinAtar": ("cannon and its shots", "aliens and their shots", "going left", "going right"),
}
"""what the channels of a game are"""


def over_seeds(curves: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Means over the seeds of curves [T, L], and both ends of Student's intervals of them: [3, L].

    Seeds that are not finite at a step are left out there.
    """
    ends = [paired_interval(values, level)[1:3] for values in curves.T]
    return np.array([finite_mean(curves.T), *np.reshape(ends, (-1, 2)).T])


def curves(
    results: Mapping[str, Results], metric: str, ylabel: str, per_update: int, among: Iterable[str] | None = None
) -> bytes:
    """Means over seeds with Student's intervals; a released arm is dashed, in the colour of its variant.

    `among`: the arms by which colours are given, so that an arm keeps its own where others are left out.
    """
    figure, axes = canvas((5.6, 3.8), "")
    variants = list(dict.fromkeys(name.removesuffix(RELEASED) for name in among or results))
    for name, result in results.items():
        color, dashes = series_style(variants.index(name.removesuffix(RELEASED)))
        dashes = DASHES[2] if name.endswith(RELEASED) else dashes
        later = result.train_steps > 1
        steps, values = result.train_steps[later] * per_update / 1000, result.train[metric][:, later]
        mean, low, high = over_seeds(values)
        axes.plot(steps, mean, color=color, ls=dashes, lw=2, label=name)
        axes.fill_between(steps, low, high, color=color, alpha=0.14, lw=0)
    axes.set_xlabel("thousand steps of an agent")
    axes.set_ylabel(ylabel)
    legend(figure, axes)
    return figure_png(figure)


def coloured(frame: np.ndarray) -> np.ndarray:
    """A frame [H, W, C] of one object per channel as a picture [H, W, 3], a colour for each channel."""
    colours = np.array(list(COLOURS.values()))
    weights = np.asarray(frame, float) / max(float(np.max(frame)), 1.0)
    return np.clip(weights @ np.resize(colours, (frame.shape[-1], 3)), 0, 1)
