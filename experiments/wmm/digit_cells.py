"""Arms of the digit experiments: a baseline, and cells of operator, layer, reading, p and c; what is said of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.wmm.config import NO_OPERATOR
from experiments.wmm.drawing import curve_figures, difference_figures
from experiments.wmm.paired import BASELINE
from experiments.wmm.weight_operator import targets, window_premises
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm
from identax.report import Figure
from identax.run import Results

METRICS = ("test accuracy", "test precision", "test recall", "test loss", "validation loss", "entropy")


def baseline(config: Any) -> Arm:
    """The training without an operator."""
    return Arm(BASELINE, dataclasses.replace(config, **NO_OPERATOR), fixed=("p", "c"))


def arm(config: Any, operator: str, layer: str, reading: str, p: float, *coverages: float, gate: str = "") -> Arm:
    """An operator on a layer; of several shares c an arm that sweeps them, which is one program."""
    chosen = {"operator": operator, "layer": layer, "reading": reading, "gate": gate, "p": p, "c": coverages[-1]}
    sweep = {"c": coverages} if len(coverages) > 1 else {}
    return Arm(name(operator, layer, reading, gate), dataclasses.replace(config, **chosen), sweep)


def name(operator: str, layer: str, reading: str, gate: str = "") -> str:
    """How an arm is called: "shuffle fc1, permuted" as the text means it, "..., released" as the program does it."""
    place = f"{layer} ({gate})" if gate else layer
    return f"{operator} {place}, {'permuted' if operator == 'shuffle' and reading == 'intended' else reading}"


def report(cell: Arm, params: Any) -> Report:
    """What an operator acts on, which of its windows are idle, and that idle ones leave the baseline as it is."""
    config = cell.config
    if config.operator == "none":
        return Report([], [])
    acted = targets(config, params)
    coverages = cell.sweep.get("c", (config.c,))
    held = [
        Premise(f"layers of {config.layer!r}", bool(acted), ", ".join(acted), "the operator acts on their kernels"),
        *window_premises(config, params, coverages),
    ]
    idle = [premise.name for premise in held[1:] if not premise.holds]
    why = "nothing moves: the same training"
    predicted = [Prediction(f"test accuracy - {BASELINE}, {windows}", 0.0, why) for windows in idle]
    return Report(held, predicted)


def pictures(arms: Sequence[Arm], results: Mapping[str, Results]) -> list[Figure]:
    """Paired differences of every cell, and learning curves of every arm."""
    accuracy, entropy = "test accuracy", "entropy"
    drawn = difference_figures(arms, results, {accuracy: "Accuracy on the test images.", entropy: "Entropy, in bit."})
    captions = {
        accuracy: "Accuracy on the test images over training; every thin line is a seed.",
        entropy: "Cumulative entropy of all weights in bit: copies lower it, permutations do not.",
    }
    return drawn + curve_figures(arms, results, captions)
