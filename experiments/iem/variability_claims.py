"""What `iem/variability` compares: accuracies by what varies and by the number of environments."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iem.bands import share_band
from experiments.iem.checks import check_cells
from experiments.iem.pair_oracle import report_by_condition
from identax.assumptions import Report
from identax.assumptions.exchangeable_structure import PAIR_TESTS
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

CONDITIONS = {"both": (1.0, 1.0), "cause": (1.0, 0.0), "mechanism": (0.0, 1.0), "none": (0.0, 0.0)}
"""what varies: the cause's parameter, the mechanism's"""
KNOWN = {
    500: {"both": (0.820, 0.78), "cause": (0.827, 0.78), "mechanism": (0.810, 0.77), "none": (0.667, 0.52)},
    1000: {"both": (0.923, 0.92), "cause": (0.913, 0.91), "mechanism": (0.857, 0.85), "none": (0.607, 0.45)},
    2000: {"both": (0.937, 0.97), "cause": (0.980, 0.99), "mechanism": (0.943, 0.97), "none": (0.610, 0.46)},
    4000: {"both": (0.973, 1.0), "cause": (0.957, 1.0), "mechanism": (0.977, 1.0), "none": (0.653, 0.49)},
    8000: {"both": (0.973, 1.0), "cause": (0.977, 1.0), "mechanism": (0.967, 1.0), "none": (0.647, 0.53)},
}
"""accuracy, and direction where an edge was truly there and decided: an independent run, 300 data sets a cell"""
_NUM, _EDGES = 300, 190
"""data sets of that run, and how many of them have an edge that is found, about"""
_OWN = {"quick": 300, "medium": 2000}


def arm_name(num: int) -> str:
    """How the arm of a number of environments is called."""
    return f"E = {num}"


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each number of environments: every combination of what varies, on the same seeds."""
    check_cells("iem/variability", config, "environments")
    sweep = {"cause": (1.0, 0.0), "mechanism": (1.0, 0.0)}
    return [Arm(arm_name(num), dataclasses.replace(config, num_environments=num), sweep) for num in config.environments]


def _name(num: Any, condition: str, quantity: str) -> str:
    return f"{arm_name(num)}, {condition}: {quantity}"


def _bands(share: float, runs: float, scale: float = 1.0) -> dict[str, tuple[float, float]]:
    """Three standard errors, as 40 rows are judged; `scale`: the part of a preset's data sets that counts."""
    return {preset: share_band(share, runs, scale * own, 3) for preset, own in _OWN.items()}


REFERENCES = (
    *(
        Reference(
            _name(num, condition, "accuracy"), f"{known[0]:.3f} (independent run, n = {_NUM})",
            _bands(known[0], _NUM),
        )
        for num, row in KNOWN.items()
        for condition, known in row.items()
    ),
    *(
        Reference(
            _name(num, condition, "direction, of edges found"),
            "1/2 (theory: a coin)" if condition == "none" else f"{known[1]:.2f} (independent run)",
            _bands(*((0.5, math.inf) if condition == "none" else (known[1], _EDGES)), _EDGES / _NUM),
        )
        for num, row in KNOWN.items()
        for condition, known in row.items()
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """What the unrolled graph says of X -> Y under every combination of what varies; the same for every E."""
    report = report_by_condition(CONDITIONS, min(config.environments))
    return {arm_name(num): report for num in config.environments[:1]}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per data set: whether the structure, and the direction of found edges, is right; rates of rejected tests."""
    found = {}
    for at, metrics in _cells(config, results):
        num, condition = at["num_environments"], at["condition"]
        found[_name(num, condition, "accuracy")] = metrics["accuracy"]
        found[_name(num, condition, "direction, of edges found")] = _directions(metrics)
        found[_name(num, condition, "settled")] = metrics["settled"]
        for test, rejected in zip(PAIR_TESTS, metrics["rejected"].T, strict=True):
            found[_name(num, condition, f"X -> Y, {test} rejected")] = rejected[metrics["truth"] == 0]
    return found


def _directions(metrics):
    return metrics["direction"][metrics["direction"] >= 0]


def _cells(config, results):
    for at, metrics in points(arms(config), results):
        condition = next(name for name, varies in CONDITIONS.items() if varies == (at["cause"], at["mechanism"]))
        yield at | {"condition": condition}, metrics


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Accuracy and direction over the number of environments, by what varies, beside the independent run."""
    drawn = []
    for place, (name, caption) in enumerate(
        (
            ("accuracy", "Share of data sets whose structure is right, of three; chance 1/3, ceiling about .97."),
            ("direction", "Share of edges that are found the right way round, where there is one; a coin: 1/2."),
        )
    ):
        series: dict[str, dict[float, np.ndarray]] = {}
        for at, metrics in _cells(config, results):
            values = _directions(metrics) if place else metrics["accuracy"]
            series.setdefault(f"{at['condition']} vary", {})[float(at["num_environments"])] = values
        known = {
            f"{condition}, known": {float(num): KNOWN[num][condition][place] for num in KNOWN}
            for condition in CONDITIONS
        }
        if series:
            picture = over_parameter(series, "environments", name, references=known, ylim=(-0.02, 1.02), band=0.95)
            drawn.append(
                Figure(
                    f"{caption} Bands: 95 % of bootstrap samples of data sets. Dotted: an independent run.",
                    figure_png(picture),
                )
            )
    return drawn
