"""What `wmm/sequential_digits` compares: the best published cells, and what they were meant to be."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm.digit_cells import METRICS, arm, baseline, name, pictures, report
from experiments.wmm.digit_task import example_variables, task_of
from experiments.wmm.paired import measured
from experiments.wmm.weight_operator import READINGS
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

REINIT, SHUFFLE = (0.05, 0.0536), (0.0619, 0.0622)
"""p and c of the best published cells: lstm2 ("forget", which is ignored) and fc (.9911 each)"""
STRONG = 0.4, 0.35
"""the end of the published search"""


def arms(config: Any) -> Sequence[Arm]:
    """Baseline, reinitialisation of lstm2 and shuffles of fc and lstm2, in both readings."""
    made = [baseline(config)]
    if not config.few_cells:
        made.append(arm(config, "reinit", "lstm2", "intended", *REINIT, gate="forget"))
    made.append(arm(config, "reinit", "lstm2", "released", *REINIT))
    made += [arm(config, "shuffle", "fc", reading, *SHUFFLE) for reading in READINGS[config.few_cells :]]
    if not config.few_cells:
        made += [arm(config, "shuffle", "lstm2", reading, *STRONG) for reading in READINGS]
    return made


_NONE = "no baseline among the published rows"
REFERENCES = (
    Reference("baseline: test accuracy", f"{_NONE}; .9911 with either operator (60,000 digits)"),
    Reference(
        f"{name('reinit', 'lstm2', 'released')}: test accuracy - baseline", _NONE,
    ),
    Reference(
        f"{name('reinit', 'lstm2', 'intended', 'forget')}: test accuracy - baseline",
        "not published: the program ignores the gate",
    ),
    *(
        Reference(f"{name('shuffle', layer, reading)}: test accuracy - baseline", _NONE if layer == "fc" else
                  "not among the published rows")
        for layer in ("fc", "lstm2")
        for reading in READINGS
    ),
    Reference(f"{name('shuffle', 'fc', 'released')}: entropy - baseline",
              "below 0: values are copied over others (theory)"),
    Reference(f"{name('shuffle', 'lstm2', 'released')}: entropy - baseline",
              "below 0: values are copied over others (theory)", {"medium": (None, 0.0)}),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """What every cell acts on, and which windows can act at all."""
    params = example_variables(task_of(config, "rows"))["params"]
    return {one.name: report(one, params) for one in arms(config)}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Scores at the last step and at the smallest validation loss, and paired differences with their intervals."""
    return measured(arms(config), results, METRICS)


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Paired differences of accuracy and entropy, and both over training."""
    return pictures(arms(config), results)
