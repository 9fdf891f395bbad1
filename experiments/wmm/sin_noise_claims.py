"""What `wmm/sin_noise` compares: operators and baseline on targets of one mixing, and of one for each set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm.cells import (
    Cell,
    operator_arms,
    operator_premises,
    published_cells,
    without_training,
)
from experiments.wmm.drawing import difference_figures
from experiments.wmm.paired import BASELINE, measured, paired_references
from experiments.wmm.sine import CHANNELS
from identax.assumptions import Prediction, Premise, Report
from identax.data import sine_mixings
from identax.experiment import Arm, Reference
from identax.models import lstm_network
from identax.report import Figure
from identax.run import Results, final_values

REINIT_CELL = Cell("lstm", "cell", 0.2840, 0.2786)
SHUFFLE_CELL = Cell("lstm2", "output", 0.0629, 0.0319)
"""the best published rows"""
PREDICTORS = "predictors"
SHARED, PER_SET = "one mixing", "one per set"
MIXINGS = {SHARED: "shared", PER_SET: "per_set"}
"""how test targets are made -> `mixing` of `sine_forecasts`; training targets are the same in both"""
METRICS = (
    *(f"test {error}, {mixing}" for mixing in MIXINGS for error in ("MSE", "MAE")), "validation loss", "entropy",
)  # fmt: skip


def arms(config: Any) -> Sequence[Arm]:
    """Baseline, operators with the published strength and, with `grid`, stronger ones, and predictors."""
    grid = {"p": config.grid_p, "c": config.grid_c}
    return [*operator_arms(config, REINIT_CELL, SHUFFLE_CELL, grid), without_training(PREDICTORS, config)]


_REINIT, _PERMUTED, _RELEASED = published_cells(REINIT_CELL, SHUFFLE_CELL)
_CELLS = dict.fromkeys((_REINIT, _PERMUTED, _RELEASED), "no baseline shipped")
_RUN = ("quick", "medium", "paper")
_LAST_ENTRY = 2.745
"""squared error, summed over channels, of the last entry times the training matrix (this program's own number)"""
REFERENCES = (
    Reference(
        f"{PREDICTORS}: perfect predictor, MSE, {PER_SET}", "31.11 (independent computation; tr of the distance)",
        {preset: (31.10, 31.12) for preset in _RUN}, "A network that has learned its task ends here.",
    ),
    Reference(
        f"{PREDICTORS}: perfect predictor, MAE, {PER_SET}", "6.97 (independent computation)",
        {preset: (6.965, 6.975) for preset in _RUN},
    ),
    Reference(
        f"{PREDICTORS}: perfect predictor, MSE, {SHARED}", "0 by construction",
        {preset: (None, 1e-8) for preset in _RUN}, "Up to the float32 of the stored targets.",
    ),
    Reference(f"{PREDICTORS}: last entry, mixed, MSE, {SHARED}", "not in the paper"),
    Reference(
        f"{BASELINE}: test MSE, {SHARED}", f"< {_LAST_ENTRY}, the last entry mixed by a known matrix",
        {preset: (None, _LAST_ENTRY) for preset in ("quick", "medium")}, "Must have learned something.",
    ),
    Reference(f"{BASELINE}: test MSE, {PER_SET}", "none shipped; 31.11 of a perfect one"),
    Reference(f"{_REINIT}: test MSE, {PER_SET}", "26.95 best, 30.77 median (shipped rows, n = 20)"),
    Reference(f"{_RELEASED}: test MSE, {PER_SET}", "25.79 best, 29.88 median (shipped rows, n = 20)"),
    *(
        row
        for metric in (f"test MSE, {SHARED}", f"test MSE, {PER_SET}", "entropy")
        for row in paired_references(_CELLS, metric, {}, at_best=metric != "entropy")
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """Whether training and test set are one task, and whether the windows of every arm can act."""
    trained_on, tested_on = sine_mixings()
    distance = np.linalg.norm(trained_on - tested_on)
    sets = [
        Premise(
            f"training and test targets have one mixing ({SHARED})", True, "the same matrix",
            "the test error is that of the task that was learned",
        ),
        Premise(
            f"training and test targets have one mixing ({PER_SET}, as published)", False,
            f"two matrices, {distance:.2f} apart (Frobenius)",
            "the test error of a perfect predictor is the distance of two matrices; lower ones are worse predictors",
        ),
    ]  # fmt: skip
    predicted = [Prediction(f"test MSE, {PER_SET}", 31.11, "of a network that has learned its own task perfectly")]
    model = lstm_network(config.units, outputs=CHANNELS)
    found = operator_premises(arms(config), model, (1, config.window, CHANNELS))
    return {BASELINE: Report(sets, predicted), **found}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed every error and the entropy of every cell, at the end and at the best validation, and paired rows."""
    found = measured(arms(config), results, METRICS)
    return found | final_values({name: result for name, result in results.items() if name == PREDICTORS})


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Paired differences on both kinds of targets: what looks like a gain on one of them need not be one."""
    captions = {
        f"test MSE, {SHARED}": "Test error where training and test targets have one mixing.",
        f"test MSE, {PER_SET}": "The same networks, test targets mixed by another matrix, as published.",
    }
    return difference_figures(arms(config), results, captions)
