"""What the page of `iem/bivariate` shows: accuracies over environments, baselines, directions, confusion matrices."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.iem import bivariate_claims as claims
from experiments.iem.bivariate_known import CONDITIONS, ENVIRONMENTS, INDEPENDENT, PUBLISHED, SHIPPED, STRICT
from identax.dgp import STRUCTURES
from identax.report import Figure, figure_png
from identax.report.grids import matrices, over_parameter
from identax.run import Results

Series = dict[str, dict[float, np.ndarray]]


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Shares of right structures and directions over the number of environments, with 95 % bootstrap bands."""
    measured = claims.measure(config, results)
    accuracies = _series(config, measured, SHIPPED, "accuracy")
    drawn = []
    if accuracies:
        baselines = _series(config, measured, SHIPPED, "LiNGAM accuracy")
        none = _series(config, measured, SHIPPED, "always none accuracy")["both"]
        others = {f"DirectLiNGAM, {name}": values for name, values in baselines.items()} | {"always none": none}
        text = "Share of data sets whose structure is right, the published sampler with its faults. Chance: 1/3."
        drawn.append(_curves(text, accuracies, "accuracy", _published(0)))
        text = "Baselines on the same data. FCI, GES and NOTEARS as published always say none."
        drawn.append(_curves(text, others, "accuracy", _published(1)))
    for kind in ("linear", "half quadratic"):
        for quantity in ("accuracy", "direction of edges found"):
            series = _series(config, measured, STRICT, quantity, kind)
            if series:
                known = _independent(quantity == "accuracy") if kind == "linear" else {}
                text = f"Strict {kind} pairs, what is named is what varies: {quantity}. Chance: 1/3 and 1/2."
                drawn.append(_curves(text, series, quantity, known))
    return drawn + _confusions(config, results)


def _curves(caption: str, series: Series, name: str, references: Mapping[str, Mapping[float, float]]) -> Figure:
    how = {"log_x": False, "ylim": (-0.02, 1.02), "band": 0.95}
    return Figure(caption, figure_png(over_parameter(series, "environments", name, references=references, **how)))


def _series(config: Any, measured: Mapping[str, np.ndarray], sampler: str, quantity: str, kind: str = "") -> Series:
    """By what varies, the conditions of one kind or of all."""
    found: Series = {}
    for arm in claims.arms(config):
        for condition in CONDITIONS[sampler]:
            values = measured.get(f"{arm.name}: {condition}, {quantity}")
            if values is not None and condition.startswith(kind):
                name = condition.removeprefix(f"{kind}, ")
                found.setdefault(name, {})[float(arm.config.num_environments)] = values
    return found


def _published(method: int) -> dict[str, dict[float, float]]:
    numbers = [float(num) for num in ENVIRONMENTS]
    return {f"{name}, published": dict(zip(numbers, known[method], strict=True)) for name, known in PUBLISHED.items()}


def _independent(accuracy: bool) -> dict[str, dict[float, float]]:
    return {
        f"{name.removeprefix('linear, ')}, known": {
            float(num): pair[0 if accuracy else 1] for num, pair in zip((100, 200, 400), known, strict=True)
        }
        for name, known in INDEPENDENT.items()
    }


def _confusions(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    tables: dict[str, dict[str, np.ndarray]] = {}
    for arm, condition, cell in claims.cells(config, results):
        if arm.config.sampler == SHIPPED:
            counts = np.zeros((3, 3), int)
            np.add.at(counts, (cell["truth"].astype(int), cell["decided"].astype(int)), 1)
            tables.setdefault(condition, {})[f"E = {arm.config.num_environments}"] = counts
    return [
        Figure(
            f"True structure against decided one, as shipped, {condition}: data sets.",
            figure_png(matrices(found, STRUCTURES, STRUCTURES, xlabel="decided", ylabel="true")),
        )
        for condition, found in tables.items()
    ]
