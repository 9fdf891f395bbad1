"""What `wmm/permuted_digits` compares: online accuracy per task, from the first tasks to the last."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm import plasticity
from experiments.wmm.paired import paired_references, paired_rows
from identax.assumptions import Premise, Report
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results

AFTER_EACH = (plasticity.SHRINK, plasticity.CBP)
DEAD = "dead units"
FIRST, LAST, GAIN = "accuracy, first 5 tasks", "accuracy, last 5 tasks", "accuracy, last 5 tasks less first 5"


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each operator; continual backpropagation and shrink-and-perturb act after every update."""
    return [
        Arm(
            operator,
            dataclasses.replace(config, operator=operator, every=1 if operator in AFTER_EACH else config.every),
        )
        for operator in config.operators
    ]


def _accuracies(result: Results, steps: int) -> np.ndarray:
    """Mean accuracy before the update in each task, [runs, tasks]."""
    return result.train["accuracy"][:, result.train_steps % steps == 0]


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per run the accuracy in the first and last tasks, their difference, and differences to backpropagation."""
    found: dict[str, np.ndarray] = {}
    for name, result in results.items():
        tasks = _accuracies(result, config.log_every)
        found[f"{name}: {FIRST}"] = tasks[:, :5].mean(axis=1)
        found[f"{name}: {LAST}"] = tasks[:, -5:].mean(axis=1)
        found[f"{name}: {GAIN}"] = tasks[:, -5:].mean(axis=1) - tasks[:, :5].mean(axis=1)
        found |= {f"{name}: {metric}": result.final(metric) for metric in result.evaluation}
    for quantity in (LAST, DEAD):
        found |= paired_rows(found, quantity, plasticity.BACKPROP)
    return found


_NONE = "not published for 5,000 digits"
_LEARNS = {"quick": (0.5, None), "medium": (0.5, None), "paper": (0.5, None)}
REFERENCES = (
    *(
        Reference(
            f"{name}: {LAST}", "not published for 5,000 digits; chance .1", _LEARNS, "A task of 167 updates is learned."
        )
        for name in (plasticity.BACKPROP, plasticity.CBP)
    ),
    *(Reference(f"{name}: {LAST}", _NONE) for name in plasticity.OPERATORS[2:]),
    *(Reference(f"{name}: {GAIN}", _NONE) for name in plasticity.OPERATORS),
    *(
        row
        for metric in (LAST, DEAD)
        for row in paired_references(
            dict.fromkeys(plasticity.OPERATORS[1:], _NONE), metric, baseline=plasticity.BACKPROP
        )
    ),
)


def premises(config: Any) -> dict[str, Report]:
    """Per arm whether anything renews units that fell silent."""
    found = {}
    for arm in arms(config):
        renews = arm.config.operator not in (plasticity.BACKPROP, plasticity.L2)
        why = "silent units of a ReLU network have no gradient"
        found[arm.name] = Report([Premise("silent units can come back", renews, arm.config.operator, why)], [])
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Accuracy in each task, of every operator."""
    curves = {
        name: _accuracies(result, config.log_every).mean(axis=0, keepdims=True) for name, result in results.items()
    }
    tasks = np.arange(1, 1 + max(line.shape[1] for line in curves.values()))
    picture = learning_curves(tasks, curves, "accuracy before the update")
    picture.axes[0].set_xlabel("task")
    return [
        Figure("Mean over runs of the accuracy on each batch before it is learned from, by task.", figure_png(picture))
    ]
