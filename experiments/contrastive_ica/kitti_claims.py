"""What `contrastive_ica/kitti` compares, expects, measures and shows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import Report
from identax.assumptions.report import Prediction, Premise
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.run import Results, final_values

MODELS: Mapping[str, Mapping[str, Any]] = {
    "unbounded L1": {"loss_p": 1, "head": "none"},
    "unbounded L2": {"loss_p": 2, "head": "none"},
    "box L1": {"loss_p": 1, "head": "learnable_box"},
    "box L2": {"loss_p": 2, "head": "learnable_box"},
    "SlowVAE": {"objective": "slow_vae"},
}
"""model -> fields of the config"""

_PAPER = {
    "unbounded L1": ("0.771 ± 0.010", "0.793 ± 0.051"),
    "unbounded L2": ("0.583 ± 0.054", "0.602 ± 0.087"),
    "box L1": ("0.741 ± 0.044", "0.809 ± 0.038"),
    "box L2": ("0.599 ± 0.055", "0.684 ± 0.067"),
    "SlowVAE": ("0.661", None),
}
"""MCC at 1 and at 5 frames, recollected but for 0.809"""


def arm_name(model: str, distance: int) -> str:
    """Name of a model's arm on frames at most `distance` apart."""
    return f"{model}, {distance} frame{'s' if distance > 1 else ''}"


def arms(config: Any) -> Sequence[Arm]:
    """Every loss and head, and SlowVAE, at every distance of frames."""
    made = []
    for distance in config.max_delta_ts:
        at = dataclasses.replace(config, max_delta_t=distance)
        for name, change in MODELS.items():
            made.append(Arm(arm_name(name, distance), dataclasses.replace(at, **change)))
    return made


def _references() -> list[Reference]:
    made = []
    for model, values in _PAPER.items():
        for distance, value in zip((1, 5), values, strict=True):
            name = f"{arm_name(model, distance)}: MCC"
            if (model, distance) == ("box L1", 5):
                made.append(Reference(name, "0.809 (public leaderboard)", note="No band: not run here."))
            elif value is not None:
                made.append(Reference(name, f"{value} (recollected)", recollected=True))
            else:
                made.append(Reference(name, "not known"))
    return made


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Report]:
    """What of the theorem's premises can be told for real video: little."""

    def report(model: str) -> Report:
        sparse = "sparse steps, closer to Laplace (p = 1) than to normal"
        matched = MODELS[model].get("loss_p") == 1
        found = [
            Premise(
                "latents uniform in a convex body", None, "positions and areas of masks", "clusters are not uniform"
            ),
            Premise(
                "invertible mixing", None, "shapes vary beyond the three known factors", "they are not all there is"
            ),
            Premise("loss has the positives' exponent", matched or None, sparse, "p = 2 is blind to rotations"),
        ]
        if model == "SlowVAE":
            found[2] = Premise("prior of the steps", None, sparse, "its Laplace prior asks for sparse steps")
        why = "Zimmermann et al. 2021, KITTI Masks (pattern)"
        expected = "above the same model's with p = 2" if matched else "below p = 1's"
        return Report(found, [Prediction("MCC of factors", expected, why)])

    return {arm_name(model, distance): report(model) for distance in config.max_delta_ts for model in MODELS}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Final scores per seed as `arm: quantity`."""
    return final_values(results)


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Final MCC of every model, by distance of the frames, and MCC over training."""
    if not results:
        return []
    series = {}
    for distance in config.max_delta_ts:
        ran = {model: results[arm_name(model, distance)] for model in MODELS if arm_name(model, distance) in results}
        series[f"up to {distance} frames"] = {model: one.final("MCC") for model, one in ran.items()}
    last = Figure("MCC of position and area, padded with noise.", figure_png(bars(series, "MCC", ylim=(0.0, 1.02))))
    steps = next(iter(results.values())).evaluation_steps
    curves = {arm: result.evaluation["MCC"] for arm, result in results.items()}
    return [last, Figure("MCC over training.", figure_png(learning_curves(steps, curves, "MCC")))]
