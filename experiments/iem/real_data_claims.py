"""What `iem/real_data` compares: directions of real pairs, edges between real proteins, beside what a coin reaches."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iem import structure_methods as methods
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

PAIRS, CELLS, LOGARITHMS = SETS = ("pairs", "cells", "logarithms of cells")
OWN, PACKAGED = "own", "causal-learn"
WEIGHT, NOTHING = "weight", "no edge"

REFERENCES = (
    Reference(f"{PAIRS}: pairwise LiNGAM: accuracy", "none published for these 99", note="1/2 is a coin."),
    Reference(f"{PAIRS}: larger variance is the effect: accuracy", "none published", note="It depends on the units."),
    Reference(f"{CELLS}: {NOTHING}: SHD", "18 (edges of the file's consensus)"),
)


def arms(config: Any) -> Sequence[Arm]:
    """Every set with both families of methods, of which causal-learn's where it is installed."""
    families = (OWN, PACKAGED) if methods.installed() else (OWN,)
    return [
        Arm(f"{data}, {family}", dataclasses.replace(config, data=data, family=family))
        for data in SETS
        for family in families
    ]


def premises(config: Any) -> dict[str, Report]:
    """That nothing in the files says which samples share an environment, and whether causal-learn is there."""
    there = methods.installed()
    missing = "their rows are left out without it; " + methods.INSTALL
    held = [
        Premise(
            "environments", False, "none in either file",
            "causal de Finetti and CD-NOD ask for samples known to share one: they are not run",
        ),
        Premise("package causal-learn", True if there else None, "installed" if there else "not installed", missing),
    ]  # fmt: skip
    predicted = [Prediction("direction of a pair by tests of independence", "a coin", "one equivalence class")]
    return {arm.name: Report(held, predicted) for arm in arms(config)[:1]}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Of pairs a value each, scaled by its weight over the mean weight; of cells one number for each score."""
    found = {}
    for at, metrics in points(arms(config), results):
        of_pairs = at["data"] == PAIRS
        weight = metrics.pop(WEIGHT, np.ones(1)).ravel()
        for name, values in metrics.items():
            scaled = values.ravel() * weight / weight.mean() if of_pairs else values
            found[f"{at['data']}: {name}{': accuracy' * of_pairs}"] = scaled
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """F1 of directed edges by method; the shares of pairs stand in the table."""
    measured = measure(config, results)
    series: dict[str, dict[str, np.ndarray]] = {}
    for name, values in measured.items():
        data, method, *score = name.split(": ")
        if score == ["F1"] and method != NOTHING:
            series.setdefault(method, {})[data] = values
    if not series:
        return []
    caption = "F1 of directed edges against the consensus; an edge without direction counts half each way."
    return [Figure(caption, figure_png(bars(series, "F1")))]
