"""What `wmm/chorales` compares: scores and entropies of operators and baseline, paired by seed."""

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
from experiments.wmm.drawn_chorales import DRAWN
from experiments.wmm.paired import AT_BEST, BASELINE, measured, paired_references
from identax.assumptions import Premise, Report
from identax.experiment import Arm, Reference
from identax.models import lstm_network
from identax.report import Figure
from identax.run import Results, final_values

REINIT_CELL = Cell("lstm1", "cell", 0.05, 0.03)
SHUFFLE_CELL = Cell("lstm1", "output", 0.4, 0.1526)
"""the best published rows"""
PREDICTORS = "predictors"
METRICS = ("test accuracy", "test NLL", "test F1", "validation loss", "entropy")
KEYS = 88
_BOUND = KEYS * np.log1p(np.exp(-1.0))
"""nat: of a frame whose every key is right, with logits of at most 1"""


def arms(config: Any) -> Sequence[Arm]:
    """Baseline, operators with the published strength and, with `grid`, others, and predictors."""
    grid = {"p": config.grid_p, "c": config.grid_c}
    return [*operator_arms(config, REINIT_CELL, SHUFFLE_CELL, grid), without_training(PREDICTORS, config)]


_REINIT, _PERMUTED, _RELEASED = published_cells(REINIT_CELL, SHUFFLE_CELL)
_FALLS = f"{_RELEASED}: entropy - {BASELINE}, 95 % high"
_WORSE = f"{_RELEASED}: test NLL - {BASELINE}, 95 % low"
_UNPUBLISHED = dict.fromkeys((_REINIT, _PERMUTED, _RELEASED), "not in the paper")
_STAYS = f"{_PERMUTED}: entropy - {BASELINE}"
_BANDS = {
    _STAYS: {"quick": (-0.1, None)},
    _FALLS: {"quick": (None, 0.0), "medium": (None, 0.0)},
    _WORSE: {"quick": (0.0, None), "medium": (0.0, None)},
}
REFERENCES = (
    Reference(
        f"{PREDICTORS}: all zeros, accuracy", ".9558 (published set), .9554 (this corpus)", {"medium": (0.953, 0.958)},
        "Drawn chords have other levels.",
    ),
    Reference(
        f"{PREDICTORS}: last frame, accuracy", ".9436 (published set), .9426 (this corpus)", {"medium": (0.940, 0.945)},
    ),
    Reference(f"{PREDICTORS}: last frame, F1", "not in the paper"),
    Reference(f"{BASELINE}: test accuracy", ".9578 (shipped rows, n = 10)"),
    Reference(f"{BASELINE}: test accuracy{AT_BEST}", "not in the paper"),
    Reference(
        f"{BASELINE}: test NLL", f"at least {_BOUND:.2f} whatever is learned",
        {preset: (_BOUND, KEYS * np.log(2)) for preset in ("quick", "medium")},
        "Logits are states of an LSTM, within (-1, 1); saying nothing at all is 61.0.",
    ),
    Reference(f"{BASELINE}: test F1", "not in the paper"),
    Reference(f"{BASELINE}: entropy", "24.1 (shipped rows, n = 10), 29.2 untrained"),
    Reference(f"{_REINIT}: test accuracy", ".9576 best, .9574 median (shipped rows, n = 10)"),
    Reference(f"{_RELEASED}: test accuracy", ".9559 (shipped rows, n = 10): all zeros"),
    Reference(f"{_RELEASED}: entropy", "11.6, 9.5 to 15.4 (shipped rows, n = 10)"),
    *paired_references(
        {_REINIT: "-.0002 (best rows)", _PERMUTED: "not in the paper", _RELEASED: "-.0019 (best rows)"},
        "test accuracy", {},
    ),
    *paired_references(_UNPUBLISHED, "test NLL", _BANDS, at_best=True),
    *paired_references(_UNPUBLISHED, "test F1", {}),
    *paired_references(
        {_REINIT: "+.1 (mean rows)", _PERMUTED: "0 by the text's claim", _RELEASED: "-12.5 (mean rows)"},
        "entropy", _BANDS,
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """Whether these are chorales, and whether the windows of every arm can act."""
    drawn = config.path == DRAWN
    real = Premise(
        "the chorales are Bach's", not drawn, "chords drawn at random" if drawn else config.path or "music21's corpus",
        "drawn chords show what an operator does to a network, not whether it helps to predict music",
    )  # fmt: skip
    model = lstm_network((KEYS,))
    found = operator_premises(arms(config), model, (1, config.window, KEYS))
    return {BASELINE: Report([real], []), **found}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed every score and the entropy of every cell, at the end and at the best validation, and paired rows."""
    found = measured(arms(config), results, METRICS)
    return found | final_values({name: result for name, result in results.items() if name == PREDICTORS})


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Paired differences and learning curves."""
    captions = {
        "test accuracy": "Share of keys that are right.",
        "test NLL": "Negative log-likelihood of a frame, in nat.",
        "entropy": "Cumulative entropy of all weights, in bit.",
    }
    made = difference_figures(arms(config), results, captions)
    curves = {"test NLL": "Negative log-likelihood of the published cells.", "entropy": "Their entropy."}
    return made + curve_figures(arms(config), results, curves)
