"""What the comparison of Jacobian penalties compares, expects and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import sweeps
from experiments.imavae.config import check_config
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm
from identax.points import cells
from identax.report import Figure
from identax.run import Results

METRICS = ("MCC", "c_IMA", "-ELBO", "dead dims", "MSE of x", "column norm", "polar distance")
SHARES = {"l1": 0.1, "orojar_estimate": 500.0}
"""weights over those of the others: L1 has the unit of x, the estimate 2 ||J||^4, about 1 / 500 in these worlds"""


def combinations(config: Any) -> list[tuple[str, float]]:
    """What is added to the ELBO in turn: nothing, then every penalty at every weight."""
    added = [(name, SHARES.get(name, 1.0) * weight) for name in config.penalties for weight in config.weights]
    return [("", 0.0), *added]


def weight_table(config: Any) -> np.ndarray:
    """The weights [combinations, penalties] of every combination."""
    own = np.array([[added == name for name in config.penalties] for added, _ in combinations(config)], float)
    return own * np.array([[weight] for _, weight in combinations(config)])


def arms(config: Any) -> list[Arm]:
    """One arm a world: all combinations are trials of one program, whose small steps cost less side by side."""
    check_config(config)
    every = {"combination": tuple(range(len(combinations(config))))}
    return [Arm(world, dataclasses.replace(config, world=world), every) for world in config.worlds]


def premises(config: Any) -> dict[str, Report]:
    """What is known of each world and penalty before anything runs."""
    return {world: _report(world, ("", *config.penalties)) for world in config.worlds}


def _report(world: str, penalties: Sequence[str]) -> Report:
    inside = world == "moebius"
    orthogonal = Premise(
        "the true columns are orthogonal",
        inside,
        "Moebius: c_IMA = 0 everywhere" if inside else "a random linear map behind it: c_IMA of order 1",
        "only then is the true decoder among the minima of a penalty for orthogonality",
    )
    wanted = [
        Premise(
            f"{name} wants orthogonal columns",
            name != "l1",
            {
                "l1": "sum |J|: sparse columns, not free of rotations",
                "orojar_estimate": "0 for orthogonal columns, and for short ones",
            }.get(name, "0 for orthogonal columns alone, free of their sizes"),
            "L1 of Rhodes and Lee 2021 is often listed beside the others",
        )
        for name in penalties
        if name
    ]
    said = {"": "falls as far as the ELBO takes it", "l1": "not aimed at"}
    lower = "below that of the ELBO alone" + ("" if inside else ", at the price of -ELBO")
    predicted = [
        Prediction(f"{_name(name)}: c_IMA of the decoder", said.get(name, lower), "what is minimised")
        for name in penalties
    ]
    return Report([orthogonal, *wanted], predicted)


def _name(penalty: str) -> str:
    return f"+ {penalty}" if penalty else "elbo"


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Last values per seed: "<world>: elbo: <metric>", "<world>: + <penalty> <weight>: <metric>"."""
    return {
        f"{label}: {name}": result.final(name)[mask]
        for label, result, mask in _labelled(config, results)
        for name in METRICS
    }


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery and contrast of every arm, side by side."""
    parts = ((label.partition(": "), result, mask) for label, result, mask in _labelled(config, results))
    rows = ((world, added, result, mask) for (world, _, added), result, mask in parts)
    return sweeps.final_bars(rows, "world and penalty")


def _labelled(config, results):
    for at, result, mask in cells(arms(config), results):
        penalty, weight = combinations(config)[at["combination"]]
        yield f"{at['world']}: {_name(penalty)}{f' {weight:.3g}' if penalty else ''}", result, mask
