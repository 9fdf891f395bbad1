"""What `contrastive_ica/three_d_ident` compares, expects, measures and shows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import ContrastiveObjective, ContrastiveWorld, Report, contrastive_report
from identax.assumptions.report import Prediction, Premise
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results, final_values

_L2 = {"objective": "lp_infonce", "loss_p": 2}
_BOX: Mapping[str, Mapping[str, Any]] = {
    "Normal, box L2": {**_L2, "head": "learnable_box"},
    "Normal, unbounded L2": {**_L2, "head": "none"},
    "Laplace, box L2": {**_L2, "head": "learnable_box", "conditional": "laplace"},
    "Normal, sphere": {"objective": "infonce", "head": "sphere"},
    "supervised": {"objective": "supervised", "head": "none"},
}
_SPHERE: Mapping[str, Mapping[str, Any]] = {
    "Normal and von Mises-Fisher, blocks L2": {**_L2, "head": "blocks"},
    "Normal and von Mises-Fisher, unbounded L2": {**_L2, "head": "none"},
    "supervised": {"objective": "supervised", "head": "none"},
}

_PAPER = {
    "Normal, box L2": ("0.967", "0.9831"),
    "Normal, unbounded L2": ("0.964", "0.549"),
    "Laplace, box L2": ("0.969", "0.984"),
    "Normal, sphere": ("0.657", "0.424"),
    "supervised": ("0.987", "0.993"),
}
"""R2 and MCC with angles in a box, recollected but for 0.9831"""


def models(columns: int) -> Mapping[str, Mapping[str, Any]]:
    """Model -> fields of the config, by how latents are coded."""
    return _BOX if columns == 10 else _SPHERE


def arms(config: Any) -> Sequence[Arm]:
    """The models of the paper where angles are coded as a box; a model of blocks where they lie on a sphere."""
    return [Arm(name, dataclasses.replace(config, **change)) for name, change in models(config.columns).items()]


def _references() -> list[Reference]:
    made = []
    for model, (r2, found) in _PAPER.items():
        made.append(Reference(f"{model}: R2", f"{r2} (recollected)", recollected=True))
        if model == "Normal, box L2":
            made.append(Reference(f"{model}: MCC", f"{found} (public leaderboard)", note="No band: not run here."))
        else:
            made.append(Reference(f"{model}: MCC", f"{found} (recollected)", recollected=True))
    return made


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Report]:
    """Which theorem applies to each contrastive arm, and what it predicts."""
    if config.columns == 11:
        return {name: _mixed(name) for name in _SPHERE if name != "supervised"}
    found = {}
    for name, change in _BOX.items():
        if change["objective"] == "supervised":
            continue
        lp = change["objective"] == "lp_infonce"
        # Not exact: drawn latents are replaced by the nearest rendered ones.
        law = {"normal": 2.0, "laplace": 1.0, "gennorm3": 3.0}[change.get("conditional", config.conditional)]
        world = ContrastiveWorld("box", 10, p=law, exact=False, mixing_is_invertible=None)
        output = {"none": "euclidean", "learnable_box": "box", "sphere": "sphere"}[change["head"]]
        objective = ContrastiveObjective(
            change["objective"],
            output,
            config.batch_size,
            config.temperature,
            p=change["loss_p"] if lp else None,
            scheme=config.scheme,
        )
        found[name] = contrastive_report(world, objective)
    return found


def _mixed(name: str) -> Report:
    blocks = _SPHERE[name]["head"] == "blocks"
    return Report(
        [
            Premise("latents uniform", True, "on a box times a sphere", ""),
            Premise("output space is the latents'", blocks, name, "elsewhere distances differ"),
            Premise(
                "similarity is the positives' exponent",
                blocks,
                "squared distances",
                "sigma is learned as size and radius",
            ),
        ],
        [
            Prediction(
                "symmetry", "positions one by one, angles up to a rotation" if blocks else "no theorem applies", ""
            )
        ],
    )


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Final scores per seed as `arm: quantity`."""
    return final_values(results)


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 and MCC of every model."""
    if not results:
        return []
    names = {f"{number}": arm for number, arm in enumerate(results, 1)}
    series = {score: {number: results[arm].final(score) for number, arm in names.items()} for score in ("R2", "MCC")}
    listed = "; ".join(f"{number} {arm}" for number, arm in names.items())
    picture = bars(series, "score", ylim=(0.0, 1.02))
    return [Figure(f"Scores on renderings that were not trained on. Models: {listed}.", figure_png(picture))]
