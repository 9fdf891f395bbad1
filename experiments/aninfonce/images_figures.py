"""Figures of `aninfonce/images`: views, what can be read out over training and at the end, learned precisions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.aninfonce.images_claims import LAYERS, VIEWS
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.report.style import canvas
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Views of a few digits, what can be read out at the end and on the way, and the learned precision."""
    drawn = [_views(results[VIEWS])] if VIEWS in results else []
    results = {name: result for name, result in results.items() if name != VIEWS}
    if not results:
        return drawn
    steps = next(iter(results.values())).evaluation_steps
    for layer in LAYERS:
        chance = float(np.mean(next(iter(results.values())).final("chance")))
        curves = {arm: result.evaluation[f"augmentations {layer}"] for arm, result in results.items()}
        caption = f"Accuracy of linear readouts of augmentation parameters, mean over all, {layer} the projector."
        figure = learning_curves(steps, curves, f"accuracy, {layer} projector", references={"chance": chance})
        drawn.append(Figure(caption, figure_png(figure)))
        names = _parameters(results, layer)
        values = {arm: {name: r.final(f"{name} {layer}") for name in names} for arm, r in results.items()}
        caption = f"Each parameter and the class, {layer} the projector; every parameter is a question of two answers."
        drawn.append(Figure(caption, figure_png(bars(values, "accuracy", ylim=(0.4, 1.0)))))
    if "aninfonce" in results:
        precision = np.asarray(results["aninfonce"].final("precision"))[:, ::-1]
        figure, axes = canvas((4.2, 2.8), "")
        axes.plot(np.arange(1, precision.shape[1] + 1), precision.T, lw=1)
        axes.set(xlabel="dimension, sorted", ylabel="precision", yscale="log")
        drawn.append(Figure("Learned precision of every trial, sorted.", figure_png(figure)))
    return drawn


def _parameters(results: Mapping[str, Results], layer: str) -> list[str]:
    """Names of the augmentation parameters, then "classes"."""
    names = next(iter(results.values())).evaluation
    suffix = f" {layer}"
    single = [name.removesuffix(suffix) for name in names if name.endswith(suffix) and " R2 " not in name]
    return [name for name in single if name not in ("classes", "augmentations")] + ["classes"]


def _views(result: Results) -> Figure:
    """A strip of digits over two views of each."""
    rows = result.kept("images and views")[0, ..., 0]
    image = rows.transpose(0, 2, 1, 3).reshape(3 * rows.shape[2], -1)
    figure, axes = canvas((7.2, 2.1), "")
    axes.imshow(1 - image, cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[14, 42, 70], yticklabels=["image", "view", "view"])
    axes.spines[:].set_visible(False)
    return Figure("Digits, and two random views of each: positives are the two views of one image.", figure_png(figure))
