"""What the experiment on real images predicts, measures and shows."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.assumptions import Report
from identax.assumptions.report import Prediction, Premise
from identax.data import load_digits
from identax.experiment import Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.report.style import canvas
from identax.run import Results

LAYERS = ("before", "after")
_COMPARED = ("augmentations", "augmentations R2", "classes")
_GAP = "AnInfoNCE above InfoNCE"
_LAYER = "CIFAR10; which layer is not known"

REFERENCES = (
    Reference(
        f"augmentations after, {_GAP}",
        "+22.8 points on CIFAR10, +4.9 on ImageNet",
        {"medium": (0.03, None)},
        note="Difference seed by seed, of the layer the loss acts on. InfoNCE at the temperature of its arm.",
    ),
    Reference(
        f"augmentations after, {_GAP} at 0.1",
        "not in the paper",
        note="InfoNCE at about the precision that AnInfoNCE finds.",
    ),
    Reference(f"augmentations before, {_GAP}", "+22.8 points on CIFAR10, +4.9 on ImageNet"),
    Reference(f"augmentations R2 after, {_GAP}", "> 0"),
    Reference(f"classes before, {_GAP}", "-2.5 points on CIFAR10, -9.2 on ImageNet"),
    Reference("aninfonce: augmentations after", "0.805", note=_LAYER),
    Reference("infonce: augmentations after", "0.577", note=_LAYER),
    Reference("aninfonce: augmentations before", "0.805", note=_LAYER),
    Reference("infonce: augmentations before", "0.577", note=_LAYER),
    Reference("aninfonce: classes before", "0.884", note=_LAYER),
    Reference("infonce: classes before", "0.909", note=_LAYER),
    Reference("aninfonce: classes after", "0.884", note=_LAYER),
    Reference("infonce: classes after", "0.909", note=_LAYER),
    Reference("infonce 0.1: augmentations after", "not in the paper"),
    Reference("infonce 0.1: classes before", "not in the paper"),
    Reference("smallest precision", "not in the paper"),
    Reference("largest precision", "not in the paper"),
    Reference("aninfonce: chance", "not in the paper", note="Always the more frequent answer, mean over parameters."),
)


def premises(config: Any) -> dict[str, Report]:
    """What of the theorem's premises can be told for real images: little."""

    def report(matches: bool, what: str, prediction: str) -> Report:
        return Report(
            [
                Premise("latents uniform on a sphere", None, "images of classes", "clusters are not uniform"),
                Premise("positives scatter by a fixed precision", None, "two views of one image", "not exactly"),
                Premise("similarity can match the positives", matches, what, "augmentations move latents unequally"),
                Premise("negatives from the marginal", True, "the rest of the batch", ""),
            ],
            [Prediction("augmentation parameters after the projector", prediction, "Rusak et al. 2025, Tab. 1")],
        )

    found = {
        infonce_name(config, temperature): report(False, f"one temperature, {temperature:g}", "lost")
        for temperature in (config.temperature, *config.other_temperatures)
    }
    kept = report(True, "one learned precision for each dimension", "kept in dimensions of low precision")
    return {"aninfonce": kept, **found}


def infonce_name(config: Any, temperature: float) -> str:
    """Name of InfoNCE's arm at this temperature."""
    return "infonce" if temperature == config.temperature else f"infonce {temperature:g}"


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Final values per seed as "<arm>: <metric>", and the gaps between the losses, seed by seed."""
    found = {
        f"{arm}: {name}": result.final(name)
        for arm, result in results.items()
        for name, values in result.evaluation.items()
        if values.ndim == 2
    }
    for temperature in (config.temperature, *config.other_temperatures):
        arm = infonce_name(config, temperature)
        where = "" if arm == "infonce" else f" at {temperature:g}"
        for quantity in [f"{name} {layer}" for name in _COMPARED for layer in LAYERS]:
            if {"aninfonce", arm} <= set(results):
                found[f"{quantity}, {_GAP}{where}"] = found[f"aninfonce: {quantity}"] - found[f"{arm}: {quantity}"]
    if "aninfonce" in results:
        precision = np.asarray(results["aninfonce"].final("precision"))
        found |= {"smallest precision": precision[:, 0], "largest precision": precision[:, -1]}
    return found


def figures(config: Any, results: Mapping[str, Results], augment: Any) -> list[Figure]:
    """Views of a few digits, what can be read out at the end and on the way, and the learned precision."""
    drawn = [] if augment is None else [_views(augment)]
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


def _views(augment: Any, num: int = 12) -> Figure:
    """A strip of digits over two views of each."""
    images = load_digits().images[:: 5000 // num][:num, :, :, None]
    views = [augment(jax.random.key(number), jnp.asarray(images))[0] for number in range(2)]
    rows = np.stack([images, *views])[..., 0]
    image = rows.transpose(0, 2, 1, 3).reshape(3 * rows.shape[2], num * rows.shape[3])
    figure, axes = canvas((7.2, 2.1), "")
    axes.imshow(1 - image, cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[14, 42, 70], yticklabels=["image", "view", "view"])
    axes.spines[:].set_visible(False)
    return Figure("Digits, and two random views of each: positives are the two views of one image.", figure_png(figure))
