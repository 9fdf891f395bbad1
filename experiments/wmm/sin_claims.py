"""What `wmm/sin` compares: test errors and entropies of operators and baseline, paired by seed."""

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
from experiments.wmm.drawing import curve_figures, difference_figures
from experiments.wmm.paired import AT_BEST, BASELINE, MEDIAN, measured, paired_references
from experiments.wmm.sine import CHANNELS
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.models import lstm_network
from identax.report import Figure
from identax.run import Results, final_values

REINIT_CELL = Cell("lstm2", "output", 0.0501, 0.0514)
SHUFFLE_CELL = Cell("lstm1", "output", 0.1044, 0.3409)
"""the best published rows"""
PREDICTORS = "predictors"
METRICS = ("test MSE", "test MAE", "test MSE per element", "validation loss", "entropy")
_LAST_ENTRY = 0.429
"""squared error an element of repeating the last entry (independent computation, the published series)"""


def arms(config: Any) -> Sequence[Arm]:
    """Baseline, operators with the published strength and, with `grid`, stronger ones, and predictors."""
    grid = {"p": config.grid_p, "c": config.grid_c}
    return [*operator_arms(config, REINIT_CELL, SHUFFLE_CELL, grid), without_training(PREDICTORS, config)]


_REINIT, _PERMUTED, _RELEASED = published_cells(REINIT_CELL, SHUFFLE_CELL)
_BELOW = {"quick": (None, _LAST_ENTRY), "medium": (None, _LAST_ENTRY)}
_EXACT = {preset: (_LAST_ENTRY - 0.002, _LAST_ENTRY + 0.002) for preset in ("quick", "medium", "paper")}
_WORSE = f"{_RELEASED}: test MSE - {BASELINE}{MEDIAN}, 95 % low"
_CHIRP = "(1 - J0(2 pi)) / 4 = .195 (theory); .196 on the test windows (independent computation)"
_BANDS = {
    f"{_RELEASED}: test MSE - {BASELINE}, 95 % low": {"medium": (0.0, None)},
    f"{_RELEASED}: entropy - {BASELINE}, 95 % high": {"quick": (None, 0.0), "medium": (None, 0.0)},
}
REFERENCES = (
    Reference(f"{PREDICTORS}: last entry, MSE per element", f"{_LAST_ENTRY} (independent computation)", _EXACT),
    Reference(f"{PREDICTORS}: chirp unknown, MSE", "1/2 (theory)", dict.fromkeys(_EXACT, (0.48, 0.51))),
    Reference(
        f"{PREDICTORS}: chirp half a period ago, MSE", _CHIRP, dict.fromkeys(_EXACT, (0.190, 0.200)),
        "Of the third channel alone. The published level is this one: it needs the first entry of a window of 50.",
    ),
    Reference(f"{PREDICTORS}: test mean, MSE per element", "3.21 (independent computation)"),
    Reference(f"{PREDICTORS}: training mean, MSE per element", "not in the paper"),
    Reference(
        f"{BASELINE}: test MSE per element", f"< {_LAST_ENTRY}, the last entry repeated", _BELOW,
        "Must have learned something.",
    ),
    Reference(
        f"{BASELINE}: test MSE", ".2180 best, .2228 median (shipped rows, n = 6)", {"medium": (0.198, 0.238)},
        "Published after 20,501 steps of a network that all trials share, windows of 50. From a new start 2 seeds have "
        ".24 and .26 at best after 50,000.",
    ),
    Reference(f"{BASELINE}: test MSE{AT_BEST}", "not in the paper"),
    Reference(f"{BASELINE}: test MAE", ".4051 (shipped row)"),
    Reference(f"{BASELINE}: entropy", "35.9 (shipped rows, n = 9), 46.5 to 47.3 untrained"),
    Reference(f"{_REINIT}: test MSE", ".2290 best, .2322 median (shipped rows, n = 14)"),
    Reference(f"{_RELEASED}: test MSE", ".2531 best, .2583 median (shipped rows, n = 11)"),
    *paired_references(
        {_REINIT: "+.011 (best rows)", _PERMUTED: "not in the paper", _RELEASED: "+.035 (best rows)"},
        "test MSE", _BANDS, at_best=True,
    ),
    Reference(
        _WORSE, "not in the paper", {"quick": (0.0, None), "medium": (0.0, None)},
        "Worse in every one of eight seeds. In quick the mean's interval was judged until one seed of eight, 4.6 above "
        "its baseline, widened it to below 0.",
    ),
    *paired_references(
        {_REINIT: "-5.9 (mean rows)", _PERMUTED: "0 by the text's claim", _RELEASED: "-13.1 (mean rows)"},
        "entropy", _BANDS,
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """Whether the windows of every arm can act."""
    model = lstm_network(config.units, outputs=CHANNELS)
    return operator_premises(arms(config), model, (1, config.window, CHANNELS))


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed every error and the entropy of every cell, at the end and at the best validation, and paired rows."""
    found = measured(arms(config), results, METRICS)
    return found | final_values({name: result for name, result in results.items() if name == PREDICTORS})


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Paired differences and learning curves."""
    made = difference_figures(
        arms(config), results, {"test MSE": "Test error.", "entropy": "Cumulative entropy of all weights, in bit."}
    )
    levels = {"test MSE": {"last entry repeated": CHANNELS * _LAST_ENTRY}}
    curves = {"test MSE": "Test error of the published cells, summed over channels.", "entropy": "Their entropy."}
    return made + curve_figures(arms(config), results, curves, levels)
