"""What `atta2c/square84` compares: correct actions and `feature sd`, baseline and AttA2C."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.atta2c.config import BASELINE, FEATURE_SD, VARIANTS, checked
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results

ATTENDED = "AttA2C"
CORRECT, SHARE = "correct actions, last 50 updates", "correct actions, fresh pictures"
GREEDY = "likeliest actions that are correct, fresh pictures"
_AS_SAID = "authors' program, one run"
_LAST = 50


def arms(config: Any) -> Sequence[Arm]:
    """The published baseline and AttA2C."""
    checked(config)
    return [Arm(name, dataclasses.replace(config, **VARIANTS[name])) for name in (BASELINE, ATTENDED)]


def _both(low: float | None, high: float | None) -> dict[str, tuple[float | None, float | None]]:
    return dict.fromkeys(("quick", "paper"), (low, high))


REFERENCES = (
    Reference(f"{BASELINE}: {CORRECT}", f"above .65 ({_AS_SAID})", _both(0.65, 1.0)),
    Reference(f"{ATTENDED}: {CORRECT}", f".33 to .5 ({_AS_SAID}); chance is .33", _both(0.33, 0.5)),
    Reference(f"{BASELINE}: {FEATURE_SD}", f"above .75 ({_AS_SAID})", _both(0.75, None)),
    Reference(f"{ATTENDED}: {FEATURE_SD}", f"above .75 ({_AS_SAID})", _both(0.75, None)),
    Reference(f"{BASELINE}: {SHARE}", "not in the paper"),
    Reference(f"{ATTENDED}: {SHARE}", "not in the paper"),
    Reference(f"{BASELINE}: {GREEDY}", "not in the paper"),
    Reference(f"{ATTENDED}: {GREEDY}", "not in the paper"),
)


def premises(config: Any) -> dict[str, Report]:
    """None: no theorem speaks of this."""
    return {}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed: shares of correct actions late in training and on fresh pictures, and `feature sd`.

    Without evaluation environments there are no fresh pictures.
    """
    found = {}
    for name, result in results.items():
        late = result.train_steps > config.num_steps - _LAST
        found[f"{name}: {CORRECT}"] = correct(result.train["reward"][:, late].mean(axis=1))
        for what, kind in ((SHARE, "sampled return"), (GREEDY, "greedy return")):
            if kind in result.evaluation:  # games never end: their return is that of all steps
                found[f"{name}: {what}"] = correct(result.final(kind) / config.evaluation_steps)
        found[f"{name}: {FEATURE_SD}"] = result.train[FEATURE_SD][:, late].mean(axis=1)
    return found


def correct(reward: np.ndarray) -> np.ndarray:
    """The share of correct actions whose mean reward, +1 and -1/2, is `reward`."""
    return (reward + 0.5) / 1.5


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Correct actions and `feature sd` over training."""
    if not results:
        return []
    steps = next(iter(results.values())).train_steps
    shares = {name: correct(result.train["reward"]) for name, result in results.items()}
    deviations = {name: result.train[FEATURE_SD] for name, result in results.items()}
    share = learning_curves(steps, shares, "correct actions", references={"chance": 1 / 3}, ylim=(0.0, 1.0))
    deviation = learning_curves(steps, deviations, "standard deviation of the features")
    return [
        Figure("Share of correct actions, means of chunks of updates.", figure_png(share)),
        Figure("Standard deviation of the recurrent features over environments and features.", figure_png(deviation)),
    ]
