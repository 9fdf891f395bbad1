"""What `aninfonce/images` compares, predicts and measures on real images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import Report
from identax.assumptions.report import Prediction, Premise
from identax.experiment import Arm, Reference
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """Both losses on the same images, from the same starting weights.

    On the unit sphere InfoNCE is AnInfoNCE with the precision 1 / temperature in every dimension (see `aninfonce`), so
    all arms are one program: InfoNCE's precision does not learn. Of digits, the last arm draws some views.
    """
    fixed = {
        infonce_name(config, temperature): dataclasses.replace(
            config, precision_start=1 / temperature, precision_learning_rate=0.0
        )
        for temperature in (config.temperature, *config.other_temperatures)
    }
    views = dataclasses.replace(config, trains=False, num_steps=0, num_seeds=1)
    shown = [Arm(VIEWS, views, fixed=_UNREAD)] if config.data_set == "digits" else []
    return (Arm("aninfonce", config), *(Arm(name, one) for name, one in fixed.items()), *shown)


VIEWS = "views"
_UNREAD = ("precision_start", "learning_rate", "precision_learning_rate", "weight_decay")
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
