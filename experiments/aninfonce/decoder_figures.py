"""Figures of `aninfonce/decoder`: pairs of images, recovery over training and at the end, learned precisions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.aninfonce.decoder_claims import SHOWN, SIDE
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves, spectrum
from identax.report.style import canvas
from identax.run import Results

BLOCKS = ("content R2", "style R2")


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Pairs of the world, recovery over time and at the end, and the learned precision."""
    results = {arm: result for arm, result in results.items() if arm != "generator"}
    trained = {arm: result for arm, result in results.items() if result.num_steps}
    drawn = [_pairs(next(iter(trained.values())).kept("pairs")[0])] if trained else []
    limits = {arm: float(np.nanmean(trained[arm].final("style R2"))) for arm in {"supervised"} & set(trained)}
    curves = {arm: result.evaluation["style R2"] for arm, result in trained.items() if arm != "supervised"}
    if curves:
        steps = next(result.evaluation_steps for arm, result in trained.items() if arm != "supervised")
        figure = learning_curves(steps, curves, "style R²", references=limits, ylim=(-0.02, 1.02))
        caption = "How much of the style latents a linear map of the embedding explains, while training."
        drawn.append(Figure(caption, figure_png(figure)))
    values = {arm: {name: result.final(name) for name in BLOCKS} for arm, result in results.items()}
    if "pixels" in results:
        final = results["pixels"].final
        values["principal components"] = {name: final(f"{name} of principal components") for name in BLOCKS}
    if values:
        caption = (
            "Recovery at the end. Supervised regression on the true latents shows what the encoder can do with these "
            "images, so what InfoNCE lacks is lost by its loss. Pixels and their first principal components (as many "
            "as latents) are read out without an encoder."
        )
        drawn.append(Figure(caption, figure_png(bars(values, "linear R²", ylim=(0.0, 1.02)))))
    if "aninfonce" in results:
        # `bimodal_precision`, which would compile: a page is drawn from what is recorded
        true = np.where(np.arange(config.dim) < config.dim // 2, config.high, config.low)
        figure = spectrum(true, results["aninfonce"].final("precision"))
        drawn.append(Figure("Learned precision of every trial against the true one.", figure_png(figure)))
    return drawn


def _pairs(pairs: np.ndarray) -> Figure:
    """A strip of anchors over their positives, [2, SHOWN, pixels]."""
    rows = pairs.reshape(2, SHOWN, SIDE, SIDE)
    image = rows.transpose(0, 2, 1, 3).reshape(2 * SIDE, SHOWN * SIDE)
    figure, axes = canvas((7.2, 1.5), "")
    axes.imshow(1 - image, cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[SIDE / 2, 1.5 * SIDE], yticklabels=["x", "x⁺"])
    axes.spines[:].set_visible(False)
    return Figure("Pairs of the world: anchors x = g(z) above, their positives x⁺ = g(z⁺) below.", figure_png(figure))
