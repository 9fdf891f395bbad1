"""What the comparison of Jacobian penalties compares, expects and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import sweeps
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm
from identax.points import cells
from identax.report import Figure
from identax.run import Results

METRICS = ("MCC", "c_IMA", "-ELBO", "dead dims", "MSE of x", "column norm", "polar distance")
SHARES = {"l1": 0.1, "orojar_estimate": 500.0}
"""weights over those of the others: L1 has the unit of x, the estimate 2 ||J||^4, about 1 / 500 in these worlds"""


def arms(config: Any) -> list[Arm]:
    """Per world: the ELBO alone, and with each penalty at every weight. They differ in traced fields alone."""
    made = []
    for world in ("moebius", "moebius and linear"):
        base = dataclasses.replace(config, world=world)
        made.append(Arm(f"{world}: elbo", base, fixed=config.penalties))
        for penalty in config.penalties:
            share = SHARES.get(penalty, 1.0)
            sweep = {penalty: tuple(share * weight for weight in config.weights)}
            others = [name for name in config.penalties if name != penalty]
            made.append(Arm(f"{world}: + {penalty}", base, sweep, fixed=others))
    return made


def premises(config: Any) -> dict[str, Report]:
    """What is known of each arm before it runs."""
    return {arm.name: _report(arm.config.world, next(iter(arm.sweep), "none")) for arm in arms(config)}


def _report(world: str, penalty: str) -> Report:
    inside = world == "moebius"
    orthogonal = Premise(
        "the true columns are orthogonal",
        inside,
        "Moebius: c_IMA = 0 everywhere" if inside else "a random linear map behind it: c_IMA of order 1",
        "only then is the true decoder among the minima of a penalty for orthogonality",
    )
    wanted = Premise(
        "what is added wants orthogonal columns",
        None if penalty == "none" else penalty != "l1",
        {
            "none": "nothing is added",
            "l1": "sum |J|: sparse columns, not free of rotations",
            "orojar_estimate": "0 for orthogonal columns, and for short ones",
        }.get(penalty, "0 for orthogonal columns alone, free of their sizes"),
        "L1 of Rhodes and Lee 2021 is often listed beside the others",
    )
    predicted = {
        "none": "falls as far as the ELBO takes it",
        "l1": "not aimed at",
    }.get(penalty, "below that of the ELBO alone" + ("" if inside else ", at the price of -ELBO"))
    return Report([orthogonal, wanted], [Prediction("c_IMA of the decoder", predicted, "what is minimised")])


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Last values per seed: "<world>: <arm> <weight>: <metric>"."""
    return {
        f"{label}: {name}": result.final(name)[mask]
        for label, result, mask in _labelled(config, results)
        for name in METRICS
    }


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery and contrast of every arm, side by side."""
    parts = ((label.partition(": "), result, mask) for label, result, mask in _labelled(config, results))
    rows = ((world, arm, result, mask) for (world, _, arm), result, mask in parts)
    return sweeps.final_bars(rows, "world and penalty")


def _labelled(config, results):
    for arm in arms(config):
        for at, result, mask in cells([arm], results):
            yield " ".join([arm.name, *(f"{at[penalty]:.3g}" for penalty in arm.sweep)]), result, mask
