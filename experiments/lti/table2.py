"""What white noise on the observations does to the three estimators.

Rajendran et al. 2024, Table 2: B and C random, known means, the fewest environments. The noise variance is nominal, as
in the paper: its code takes the root for a covariance, so that the true variance is the root of it.

    python -m experiments run lti/table2 --preset quick
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.lti import authors, table1, table1_claims
from experiments.lti.estimators import ESTIMATORS
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

FLOAT64 = True
TRACED = (*table1.TRACED, "noise")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(table1.Config):
    """As Table 1, with noise. The defaults are the paper's setting."""

    dims: tuple[int, ...] = (2, 3, 5)
    noise: float = 0.0
    """nominal variance of the observation noise; the true one is its root"""
    levels: tuple[float, ...] = (0.0, 1e-4, 1e-2, 1e-1, 1.0)
    """nominal variances that are compared"""


PRESETS: dict[str, Config] = {
    "smoke": Config(dims=(2,), num_samples=200, num_batches=4, levels=(0.0, 1e-2), num_seeds=2),
    "quick": Config(dims=(2, 3), num_samples=6000, num_batches=32),
    "medium": Config(num_seeds=20),
    "paper": Config(),
}
_PAPER = {
    2: (".627±.090", ".679±.162", ".643±.068", ".590±.034", ".625±.038"),
    3: (".886±.057", ".823±.052", ".718±.168", ".637±.194", ".796±.022"),
    5: (".871", ".873", ".820±.022", ".736", ".732±.032"),
}


_RERUN = {
    "published, MCC": (".796", ".627", ".595", ".581", ".558"),
    "closed form, MCC": (".999", ".835", ".669", ".605", ".560"),
    "closed form, error of F": (".025", ".316", ".449", ".531", ".631"),
}
"""at d = 2 on the data of the five published seeds, from the authors' data code"""


def _cell(dim: int, level: float, systems: str = "") -> str:
    return ", ".join([f"d {dim}", *([systems] if systems else []), f"noise {level:g}"])


def _references() -> list[Reference]:
    made = []
    for dim, row in _PAPER.items():
        where = "authors' notebook, n=1-3" if dim == 5 else "Table 2, n=3"
        for level, text in zip(Config().levels, row, strict=True):
            made.append(Reference(f"{_cell(dim, level)}: published, batch MCC", f"{text} ({where})"))
            band = {"quick": (0.99, None), "medium": (0.99, None)} if level == 0 else {}
            made.append(Reference(f"{_cell(dim, level)}: closed form, MCC", "1 without noise (theory)", band))
            made.append(Reference(f"{_cell(dim, level)}: closed form, error of F", "0 without noise (theory)"))
    for quantity, row in _RERUN.items():
        for level, text in zip(Config().levels, row, strict=True):
            bands = {"medium": (float(text) - 0.05, float(text) + 0.05)}  # at their 12,000 observations
            cell = _cell(2, level, table1_claims.SAME)
            made.append(Reference(f"{cell}: {quantity}", f"{text} (authors' data, n=5)", bands))
    return made


REFERENCES = tuple(_references())
build = table1.build


def arms(config: Config) -> Sequence[Arm]:
    """One arm per size, all noise levels in one program; at d = 2 also with the systems of the five published seeds."""
    noise = {"noise": config.levels}
    made = [Arm(f"d {dim}", dataclasses.replace(config, dim=dim), noise) for dim in config.dims]
    if 2 in config.dims:
        same = dataclasses.replace(config, dim=2, num_seeds=1)
        made.append(Arm(f"d 2, {table1_claims.SAME}", same, noise | authors.SWEEP))
    return made


def premises(config: Config) -> Mapping[str, Any]:
    """Per arm a function that checks the first seed's system and design."""
    return table1_claims.reports(arms(config))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `cell: estimator, quantity`."""
    measured = {}
    for at, final in points(arms(config), results, pooled=("author",)):
        cell = _cell(at["dim"], at["noise"], table1_claims.systems_of(at))
        for estimator in ESTIMATORS:
            for quantity in ("batch MCC", "MCC", "within MCC", "error of F"):
                measured[f"{cell}: {estimator}, {quantity}"] = final[f"{estimator}: {quantity}"]
    return measured


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC and error of F against the noise, per size."""
    by_arm: dict[str, dict[str, Any]] = {}
    for at, final in points(arms(config), results, pooled=("author",)):
        by_arm.setdefault(at["arm"], {})[f"{at['noise']:g}"] = final
    drawn = []
    for arm, levels in by_arm.items():
        for quantity in ("MCC", "error of F"):
            series = {
                estimator: {level: final[f"{estimator}: {quantity}"] for level, final in levels.items()}
                for estimator in ESTIMATORS
            }
            drawn.append(Figure(f"{arm}: {quantity} by nominal noise.", figure_png(bars(series, quantity))))
    return drawn
