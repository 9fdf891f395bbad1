"""What `wmm/warm_start` compares: test accuracy of every start of the second phase, and how soon it has learned."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm.paired import paired_references, paired_rows
from identax.assumptions import Premise, Report
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results

HALF = "half of the data"
COLD, WARM, FORGETFUL, SHRINK, DASH = "cold", "warm", "warm, momentum dropped", "shrink and perturb", "DASH"
STARTS = (COLD, WARM, FORGETFUL, SHRINK, DASH)
LEARNED = 0.999
"""training accuracy at which a phase counts as learned (that of the published protocol)"""
ACCURACY, STEPS = "test accuracy", "steps to a training accuracy of .999"


def arms(config: Any) -> Sequence[Arm]:
    """The first phase, and the second one from every start; seeds share images, their halves and first weights."""
    found = [Arm(HALF, dataclasses.replace(config, phase="half", start=COLD))]
    for start in STARTS:
        own = dataclasses.replace(config, phase="all", start=start)
        found.append(Arm(start, own, after=None if start == COLD else HALF))
    return found


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed accuracy and steps of every start, and their differences to cold and warm."""
    found: dict[str, np.ndarray] = {}
    for name, result in results.items():
        found[f"{name}: {ACCURACY}"] = result.final("test accuracy")
        found[f"{name}: train accuracy"] = result.final("train accuracy")
        found[f"{name}: {STEPS}"] = _steps(result)
    for other in (COLD, WARM):
        compared = {row: values for row, values in found.items() if row.partition(": ")[0] not in (HALF,)}
        for what in (ACCURACY, STEPS):
            found |= paired_rows(compared, what, other)
    return found


def _steps(result: Results) -> np.ndarray:
    """Steps after which the training accuracy first was `LEARNED`; the whole phase where it never was."""
    learned = result.evaluation["train accuracy"] >= LEARNED
    first = result.evaluation_steps[learned.argmax(axis=1)]
    return np.where(learned.any(axis=1), first, result.num_steps).astype(float)


_SMALL = "not published for this set; a small gap is expected"
_LEARNS = {"quick": (0.8, None), "medium": (0.8, None)}
REFERENCES = (
    *(Reference(f"{start}: {ACCURACY}", _SMALL, _LEARNS, "Every start learns; chance .1.") for start in STARTS),
    *paired_references(dict.fromkeys(STARTS[1:], _SMALL), ACCURACY, baseline=COLD),
    *paired_references(dict.fromkeys(STARTS[2:], _SMALL), ACCURACY, baseline=WARM),
    *(Reference(f"{start}: {STEPS}", "not published for this set") for start in STARTS),
    *paired_references(dict.fromkeys(STARTS[1:], "not published for this set"), STEPS, baseline=COLD),
)


def premises(config: Any) -> dict[str, Report]:
    """Per arm what it starts from."""
    found = {}
    for arm in arms(config):
        new = arm.after is None
        premise = Premise("the start is new", new, "drawn" if new else f"where {HALF!r} ended", "it is what may cost")
        found[arm.name] = Report([premise], [])
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Test accuracy over the steps of the second phase."""
    curves = {name: result.evaluation["test accuracy"].mean(axis=0)[None] for name, result in results.items()}
    steps = next(iter(results.values())).evaluation_steps
    picture = learning_curves(steps, curves, ACCURACY, ylim=(0.8, 1.0))
    return [Figure("Mean over seeds of the test accuracy; the second phase from every start.", figure_png(picture))]
