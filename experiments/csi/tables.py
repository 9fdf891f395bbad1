"""Instance and class labels over numbers of labels, dims, clusters, kappa and laws: Tables 2, 3 and 5.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025: linear recovery of
latents and cluster vectors by DIET with free rows ("DIET") and with rows of norm 1 ("unit DIET"), Tables 2 and 5, and
by class labels ("supervised"), Table 3. All heads meet the same worlds, so their differences are paired by seed.

    python -m experiments run csi/tables --preset medium --arm "supervised, kappa 50"
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi import simulation, simulation_claims
from experiments.csi.tables_claims import LESS, references
from identax.checks import check_choice
from identax.experiment import Arm
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

TRACED = simulation.TRACED
build = simulation.build

ROWS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "N 100000": {"num_labels": 100_000, "block_size": 10_000},
    "d 10": {"dim": 10},
    "d 20": {"dim": 20},
    "C 10": {"num_clusters": 10},
    "C 1000": {"num_clusters": 1000},
    "C 10000": {"num_clusters": 10_000},
    "kappa 5": {"kappa": 5.0},
    "kappa 50": {"kappa": 50.0},
    "Laplace": {"conditional": "laplace"},
    "Normal": {"conditional": "normal"},
    "Laplace vectors": {"marginal": "laplace"},
    "Normal vectors": {"marginal": "normal"},
}
"""what a row changes in the default setting; the last two are those of Table 5"""
HEADS: Mapping[str, Mapping[str, Any]] = {
    "supervised": {"targets": "class"},
    "DIET": {"targets": "instance"},
    "unit DIET": {"targets": "instance", "unit_rows": True},
}
_TABLE2 = tuple(row for row in ROWS if row != "C 10000")
_TABLE3 = tuple(row for row in ROWS if row != "N 100000" and not row.endswith("vectors"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(simulation.Config):
    """The default setting, and which rows run under which head."""

    supervised: tuple[str, ...] = _TABLE3
    diet: tuple[str, ...] = _TABLE2
    unit_diet: tuple[str, ...] = _TABLE2
    num_labels_steps: int = 4_850_000
    """steps of the row with 100,000 labels"""
    wide_hidden: tuple[int, ...] = (10, 50, 50, 50, 50, 10)
    """widths in multiples of dim, of rows with more dims than the default"""
    wide_seeds: int = 5
    """seeds of rows with 20 dims or more"""


PRESETS: dict[str, Config] = {
    "smoke": simulation.preset(
        Config,
        "smoke",
        supervised=("default", "kappa 50"),
        diet=("default",),
        unit_diet=("default",),
        wide_hidden=(4, 4),
    ),
    "medium": simulation.preset(
        Config,
        "quick",
        supervised=("default", "C 10", "C 1000", "kappa 5", "kappa 50", "Laplace", "Normal"),
        diet=("default", "C 10", "kappa 50", "Laplace", "Laplace vectors", "Normal vectors"),
        unit_diet=("default",),
        num_steps=3000,
        num_supervised_steps=3000,
        evaluate_every=1000,
        num_evaluate=8192,
        num_seeds=3,
        wide_hidden=(5, 10, 10, 5),
    ),
    "paper": simulation.preset(Config, "paper"),
}

REFERENCES = references()


def arms(config: Config) -> Sequence[Arm]:
    """One arm per row and head, named `head, row`. Raises `ValueError` for an unknown row."""
    chosen = {"supervised": config.supervised, "DIET": config.diet, "unit DIET": config.unit_diet}
    return [Arm(f"{head}, {row}", _row(config, head, row)) for head, rows in chosen.items() for row in rows]


def _row(config: Config, head: str, row: str) -> Config:
    check_choice("csi/tables", "row", row, tuple(ROWS))
    made = dataclasses.replace(config, **HEADS[head], **ROWS[row])
    made = dataclasses.replace(made, num_labels=max(made.num_labels, made.num_clusters))
    if head == "supervised":
        made = dataclasses.replace(made, num_steps=config.num_supervised_steps)
    elif row == "N 100000":
        made = dataclasses.replace(made, num_steps=config.num_labels_steps)
    if made.dim > config.dim:
        made = dataclasses.replace(made, hidden=config.wide_hidden)
    return dataclasses.replace(made, num_seeds=config.wide_seeds if made.dim >= 20 else config.num_seeds)


def premises(config: Config) -> Mapping[str, Any]:
    """Per arm a function that says which theorem applies, and what it predicts."""
    return simulation_claims.premises(arms(config))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `head, row: quantity`; differences of heads and of kappa by seed."""
    measured = dict(simulation_claims.measure(arms(config), results))
    r2 = {arm: measured[f"{arm}: R2"] for arm in results}
    for row in ROWS:
        if {f"supervised, {row}", f"DIET, {row}"} <= r2.keys():
            measured[f"{row}: {LESS}"] = r2[f"supervised, {row}"] - r2[f"DIET, {row}"]
    for head in HEADS:
        default = r2.get(f"{head}, default")
        for row in ROWS:
            other = r2.get(f"{head}, {row}")
            if row != "default" and default is not None and other is not None and len(default) == len(other):
                measured[f"{head}, {row}: R2 below default"] = default - other
    return measured


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 of latents in every row under every head, and how far each loss is from the smallest possible."""
    drawn = []
    for quantity, title, ylim in (
        ("R2", "recovery of the latents", (0.0, 1.02)),
        ("loss above Bayes", "loss on fresh data above the smallest possible", None),
    ):
        series = {head: {row: _final(results, head, row, quantity) for row in _ran(results, head)} for head in HEADS}
        series = {head: rows for head, rows in series.items() if rows}
        if series:
            numbers = {row: f"{number}" for number, row in enumerate(ROWS, 1)}
            short = {head: {numbers[row]: values for row, values in rows.items()} for head, rows in series.items()}
            listed = "; ".join(f"{number} {row}" for row, number in numbers.items())
            picture = bars(short, quantity, title=title, ylim=ylim)
            drawn.append(Figure(f"{title}. Rows: {listed}.", figure_png(picture)))
    return drawn


def _ran(results: Mapping[str, Results], head: str) -> list[str]:
    return [row for row in ROWS if f"{head}, {row}" in results]


def _final(results: Mapping[str, Results], head: str, row: str, quantity: str) -> np.ndarray:
    return results[f"{head}, {row}"].final(quantity)
