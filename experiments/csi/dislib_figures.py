"""Figures of `csi/dislib`: examples of the images, and every readout beside that of the pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi.dislib_claims import PIXELS, PUBLISHED, SOLVED, arms, factors
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.style import canvas
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Examples of the images, and every readout beside that of the pixels."""
    drawn = []
    ran = [arm for arm in arms(config) if arm.name in results]
    for name in dict.fromkeys(arm.config.set for arm in ran):
        own = [arm for arm in ran if arm.config.set == name]
        series = {}
        for arm in own:
            scores = {factor: results[arm.name].evaluation[f"{factor} r"] for factor in factors(arm)}
            if arm.config.model == SOLVED:
                drawn.append(_gallery(name, results[arm.name].kept("images")[0]))
            if arm.config.model != PUBLISHED:
                series[arm.config.model] = {factor: values[:, -1] for factor, values in scores.items()}
            if arm.config.model not in PIXELS:
                series[f"{arm.config.model}, untrained"] = {factor: values[:, 0] for factor, values in scores.items()}
        picture = bars(series, "Pearson r", title=name, ylim=(0.0, 1.02))
        drawn.append(Figure(f"{name}: correlation of factors with their linear readout.", figure_png(picture)))
    return drawn


def _gallery(name: str, images: np.ndarray) -> Figure:
    num, height, width, channels = images.shape
    strip = images.transpose(1, 0, 2, 3).reshape(height, num * width, channels) / max(images.max(), 1)
    figure, axes = canvas((7.2, 1.0), "")
    axes.imshow(strip if channels == 3 else strip[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return Figure(f"{name}: images of the validation split.", figure_png(figure))
