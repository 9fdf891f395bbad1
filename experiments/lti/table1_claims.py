"""What `lti/table1` compares, and the paper's Table 1 beside it: what is measured, premises and figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.lti import authors, worlds
from experiments.lti.estimators import ESTIMATORS
from identax.assumptions.lti import lti_report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results
from identax.study import Trials

COLUMNS = {
    "mean, B=I, C=I": (0.0, 0.0, 0.0),
    "mean, B=I": (0.0, 1.0, 0.0),
    "mean, C=I": (1.0, 0.0, 0.0),
    "mean": (1.0, 1.0, 0.0),
    "zero mean, B=I, C=I": (0.0, 0.0, 1.0),
    "zero mean, B=I": (0.0, 1.0, 1.0),
    "zero mean, C=I": (1.0, 0.0, 1.0),
    "zero mean": (1.0, 1.0, 1.0),
}
"""column -> (use_B, use_C, zero_means); matrices that are not named are random"""
_NAMED = {switches: column for column, switches in COLUMNS.items()}
_MAXIMAL = "maximal"
# fmt: off
_PAPER = {
    2: ".866±.033 .767±.158 .730±.191 .697±.090 .633±.104 .675±.132 .734±.158 .725±.115 .968±.055",
    3: ".901±.054 .910±.061 .916±.044 .861±.062 .659±.201 .618±.241 .633±.110 .667±.109 1.000±.000",
    5: ".892±.057 .929±.025 .928±.026 .911±.045 .657±.116 .618±.079 .620±.025 .539±.078 .995±.009",
    8: ".943±.006 .940±.008 .941±.009 .867±.039 .585±.144 .479±.129 .523±.016 .414±.031 .977±.011",
    10: ".939±.011 .915±.023 .925±.017 .924±.042 .708±.042 .611±.043 .604±.063 .525±.097 .996±.006",
}
# fmt: on
"""Table 1 in its order of columns: MCC of the last training batch, five systems"""
# fmt: off
_LIMITS = {
    2: ".837/.582 .734/.544 .705/.538 .795/.612 .589/.589 .692/.680 .689/.683 .747/.731 .990/.985",
    3: ".897/.742 .905/.749 .914/.808 .902/.823 .686/.675 .621/.605 .650/.630 .668/.657 1.000/.999",
}
# fmt: on
"""where the published objective ends on the data of the five published seeds, computed from the authors' data code:
MCC in random batches of 64 / in consecutive ones"""
SAME = "published seeds"
"""the systems and environments of the five seeds behind Table 1"""
DISTINCT = float(np.log(2))
"""profiles that differ by a factor of two somewhere: what the closed form is asked to be right on"""


def arms(config: Any) -> Sequence[Arm]:
    """Per size one arm with the eight columns of random variances, and one with the maximal design.

    Both with random systems, and with those of the five published seeds.
    """
    made = []
    for dim in config.dims:
        columns = {"zero_means": (0.0, 1.0), "use_B": (0.0, 1.0), "use_C": (0.0, 1.0)}  # in the order of `COLUMNS`
        of_design = {design: dataclasses.replace(config, dim=dim, design=design) for design in ("random", "maximal")}
        made.append(Arm(f"d {dim}, random", of_design["random"], columns))
        made.append(Arm(f"d {dim}, maximal", of_design["maximal"]))
        once = {design: dataclasses.replace(each, num_seeds=1) for design, each in of_design.items()}
        made.append(Arm(f"d {dim}, random, published seeds", once["random"], columns | authors.SWEEP))
        made.append(Arm(f"d {dim}, maximal, published seeds", once["maximal"], authors.SWEEP))
    return made


def name(dim: int, column: str, systems: str = "") -> str:
    """How a cell of the table is called; `systems` where they are not random ones."""
    return ", ".join([f"d {dim}", column, *([systems] if systems else [])])


def _both(low, high=None):
    return {tier: (low, high) for tier in ("quick", "medium")}


def _references() -> list[Reference]:
    made = []
    for dim, row in _PAPER.items():
        limits = _LIMITS.get(dim, "").split() or [None] * (len(COLUMNS) + 1)
        for column, text, limit in zip([*COLUMNS, _MAXIMAL], row.split(), limits, strict=True):
            cell, same = name(dim, column), name(dim, column, SAME)
            mean = float(text.split("±")[0])
            paper = f"{text} (Table 1, n=5)"
            made.append(Reference(f"{cell}: published, batch MCC", paper, {}, "Other systems than the paper's."))
            bands = _both(mean - 0.1, mean + 0.1) if dim <= 3 else {}
            made.append(Reference(f"{same}: published, batch MCC", paper, bands, "One batch in the paper, 64 here."))
            for quantity, value in zip(("train MCC", "val MCC"), (limit or "").split("/"), strict=bool(limit)):
                if value:
                    bands = _both(float(value) - 0.02, float(value) + 0.02)
                    made.append(Reference(f"{same}: published, {quantity}", f"{value} (authors' data, n=5)", bands))
            for estimator, least in (("closed form", 0.99), ("conditional", 0.999)):
                bands = _both(least) if dim <= 5 else {}
                quantity = f"{cell}: {estimator}, smallest MCC"
                made.append(Reference(quantity, "1 (theory)", bands, "Of profiles that differ twofold."))
    return made


REFERENCES = tuple(_references())


_SWITCHES = ("use_B", "use_C", "zero_means", "condition")


def premises(config: Any) -> Mapping[str, Any]:
    """Per arm a function that checks the first seed's system and design."""
    return reports(arms(config))


def reports(arms: Sequence[Arm]) -> Mapping[str, Any]:
    """Per arm a function that reports on the first seed's system and environments."""

    def of_first(arm: Arm):
        config = arm.config
        trials = Trials.grid(1, seed=config.seed)
        hparams = {field: getattr(config, field) for field in _SWITCHES if hasattr(config, field)}
        hparams |= {"author": 0.0} if "author" in arm.sweep else {}
        with jax.enable_x64(True):
            key = trials.keys[0]
            system = worlds.draw_system(key, config, hparams)
            environments = worlds.draw_environments(key, config, hparams)
            return lti_report(system, environments, num_samples=config.num_samples)

    return {arm.name: (lambda arm=arm: of_first(arm)) for arm in arms}


def column_of(at: Mapping[str, Any]) -> str | None:
    """The column of the table that has these coordinates; None if there is none."""
    return _NAMED.get((at["use_B"], at["use_C"], at["zero_means"]))


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """MCCs and errors per seed of every cell, and the smallest over systems of distinct profiles."""
    measured = {}
    for cell, _, final in _cells(config, results):
        distinct = final["profile gap"] >= DISTINCT
        for quantity in ("train MCC", "val MCC"):
            measured[f"{cell}: published, {quantity}"] = final[f"published: {quantity}"]
        for estimator in ESTIMATORS:
            for quantity in ("batch MCC", "MCC", "within MCC", "Amari distance", "error of F", "error of H"):
                measured[f"{cell}: {estimator}, {quantity}"] = final[f"{estimator}: {quantity}"]
            mccs = final[f"{estimator}: MCC"]
            measured[f"{cell}: {estimator}, smallest MCC"] = np.array(
                [mccs[distinct].min() if distinct.any() else np.nan]
            )
            measured[f"{cell}: {estimator}, smallest MCC of all"] = np.array([mccs.min()])
        measured[f"{cell}: log-likelihood above truth"] = final["log-likelihood above truth"]
    return measured


def _cells(config: Any, results: Mapping[str, Results]):
    """Name in the table, coordinates and last values of every cell; the five published seeds count as seeds."""
    for at, final in points(arms(config), results, pooled=("author",)):
        column = _MAXIMAL if at["design"] == _MAXIMAL else column_of(at)
        if column is not None:
            yield name(at["dim"], column, systems_of(at)), at, final


def systems_of(at: Mapping[str, Any]) -> str:
    """Which systems these coordinates have, as `name` takes it: random ones, or those of published seeds."""
    return "" if at["author"] == -1 else SAME


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC over all pairs of the three estimators, one figure per kind of environments."""
    random = [(cell, at, final) for cell, at, final in _cells(config, results) if not systems_of(at)]
    drawn = []
    for what, zero_means in (("known means", 0.0), ("zero means", 1.0)):
        chosen = {cell: final for cell, at, final in random if at["zero_means"] == zero_means}
        series = {
            estimator: {cell: final[f"{estimator}: MCC"] for cell, final in chosen.items()} for estimator in ESTIMATORS
        }
        if chosen:
            caption = f"MCC of the controls, {what}: the published objective against the two that identify the system."
            drawn.append(Figure(caption, figure_png(bars(series, "MCC"))))
    return drawn
