"""What the digits experiment predicts, measures and shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    Report,
    contrastive_report,
    pair_correlations,
)
from identax.dgp import DGP, ShellProjectedNormal, Sphere, bimodal_precision
from identax.experiment import Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves, spectrum
from identax.report.style import canvas
from identax.run import Results

SIDE = 28
BLOCKS = ("content R2", "style R2")
_NO_NUMBER = "higher for AnInfoNCE (abstract; no numbers found)"
_OURS = "not in the paper"

REFERENCES = (
    Reference("aninfonce: content R2", _NO_NUMBER, {"quick": (0.96, None)}),
    Reference("aninfonce: style R2", _NO_NUMBER, {"quick": (0.88, None)}),
    Reference("infonce: content R2", _NO_NUMBER, {"quick": (0.90, None)}),
    Reference("infonce: style R2", _NO_NUMBER, {"quick": (None, 0.20)}, note="Temperature 1."),
    Reference(
        "style R2, AnInfoNCE above InfoNCE",
        "> 0 (abstract; no numbers found)",
        {"quick": (0.7, None), "medium": (0.5, None)},
        note="Difference seed by seed: the same world and the same starting encoder.",
    ),
    Reference(
        "supervised: style R2",
        _OURS,
        {"quick": (0.96, None)},
        note="Regression on the true latents: the encoder and the generator are not what loses style.",
    ),
    Reference(
        "pixels: style R2", _OURS, note="Linear readout of all 784 pixels, fitted with the true latents; held out."
    ),
    Reference("pixels: style R2 of principal components", _OURS, note="As many components as latents; held out."),
    Reference("aninfonce: precision error", _OURS, note="Largest relative error: a short run does not finish it."),
)


def premises(config: Any, names: Sequence[str]) -> dict[str, Report]:
    """The theorem's premises for the objectives `names`, with the collapse predicted from the world's pairs.

    Whether the decoder is invertible is not provable; the arm "supervised" measures it.
    """
    precision = bimodal_precision(config.dim, high=config.high, low=config.low)
    space = Sphere(config.dim)
    z = space.uniform(jax.random.key(0), 20_000)
    rho = pair_correlations(z, ShellProjectedNormal(precision, config.threshold).sample(jax.random.key(1), z, space))
    world = ContrastiveWorld(
        "sphere",
        config.dim,
        precision=tuple(np.asarray(precision, float).tolist()),
        exact=False,
        mixing_is_invertible=None,
    )
    objectives = {
        name: ContrastiveObjective(
            name, "sphere", config.batch_size, temperature=config.temperature, scheme=config.scheme
        )
        for name in names
    }
    return {name: contrastive_report(world, objective, rho=rho) for name, objective in objectives.items()}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Final values per seed as "<arm>: <metric>", and the gap in style R^2 between the two losses, seed by seed."""
    found = {
        f"{arm}: {name}": result.final(name)
        for arm, result in results.items()
        for name, values in result.evaluation.items()
        if values.ndim == 2
    }
    if {"aninfonce", "infonce"} <= set(results):
        gap = found["aninfonce: style R2"] - found["infonce: style R2"]
        found["style R2, AnInfoNCE above InfoNCE"] = gap
    return found


def figures(config: Any, results: Mapping[str, Results], world: DGP) -> list[Figure]:
    """Pairs of the world, recovery over time and at the end, and the learned precision."""
    drawn = [_pairs(config, world)]
    trained = {arm: result for arm, result in results.items() if result.num_steps}
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
        true = np.asarray(bimodal_precision(config.dim, high=config.high, low=config.low))
        figure = spectrum(true, results["aninfonce"].final("precision"))
        drawn.append(Figure("Learned precision of every trial against the true one.", figure_png(figure)))
    return drawn


def _pairs(config: Any, world: DGP, num: int = 12) -> Figure:
    """A strip of anchors over their positives."""
    precision = bimodal_precision(config.dim, high=config.high, low=config.low)
    drawn = world.sample(world.init(jax.random.key(config.seed), precision), jax.random.key(config.seed + 1), num)
    rows = jnp.stack(drawn.observations).reshape(2, num, SIDE, SIDE)
    image = np.asarray(rows).transpose(0, 2, 1, 3).reshape(2 * SIDE, num * SIDE)
    figure, axes = canvas((7.2, 1.5), "")
    axes.imshow(1 - image, cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[SIDE / 2, 1.5 * SIDE], yticklabels=["x", "x⁺"])
    axes.spines[:].set_visible(False)
    return Figure("Pairs of the world: anchors x = g(z) above, their positives x⁺ = g(z⁺) below.", figure_png(figure))
