"""The table of baselines: what is compared, bands, what is measured, premises and figures."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.lti import baselines_methods as methods
from experiments.lti import table1_claims
from experiments.lti.baselines_methods import QUANTITIES
from experiments.lti.estimators import ESTIMATORS
from identax.assumptions.report import Premise
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

TOGETHER = (*ESTIMATORS, "oracle", "pooled")
"""as `compiled_unmixings` names them"""
COMPILED, LEVELS = "compiled", "levels of chance"
"""`Config.method` of the arms that have all of `TOGETHER`, and none"""
CELLS = ("mean", "zero mean", "noise")
"""known means, zero means, zero means and noise 1e-4 (variance .01) on the observations"""
_IDENTIFYING = {"closed form": 0.99, "conditional": 0.999}


def arms(config: Any) -> Sequence[Arm]:
    """Per size both kinds of means, and noise where asked for, and what chance reaches.

    Each for all methods that compile, in one program, and for every one on the host whose package is installed.
    """
    made = []
    for dim in config.dims:
        of_size = dataclasses.replace(config, dim=dim)
        both = Arm(f"d {dim}", of_size, {"zero_means": (0.0, 1.0)})
        made += _per_method(both, (*methods.PACKAGES, methods.MAXIMISERS))
        if dim in config.noisy_dims:
            noisy = Arm(f"d {dim}, noise", dataclasses.replace(of_size, zero_means=1.0, noise=1e-4))
            made += _per_method(noisy, methods.ON_HOST)
        chance = dataclasses.replace(of_size, method=LEVELS, num_seeds=1)
        made.append(Arm(f"d {dim}, {LEVELS}", chance, fixed=("use_B", "use_C", "zero_means", "author", "noise")))
    return made


def _per_method(arm: Arm, hosted: Iterable[str]) -> list[Arm]:
    """The arm itself, and the same worlds for every installed one of the methods on the host; Kalman fits for a few."""
    made = [arm]
    for method in hosted:
        few = arm.config.kalman_systems if method in methods.KALMAN else arm.config.num_seeds
        if few and methods.installed(method):
            own = dataclasses.replace(arm.config, method=method, num_seeds=min(few, arm.config.num_seeds))
            made.append(dataclasses.replace(arm, name=f"{arm.name}, {method}", config=own))
    return made


def _references() -> list[Reference]:
    made = []
    for dim in (2, 3, 5, 8, 10):
        for kind in CELLS:
            made += _of_cell(dim, kind, judged=kind != "noise" and dim <= 5)
    return made


def _of_cell(dim: int, kind: str, judged: bool) -> list[Reference]:
    """Bands follow from theory: two estimators identify, oracles are consistent, a pooled likelihood is a rotation."""
    cell = f"d {dim}, {kind}"

    def band(low, high):
        return {"quick": (low, high), "medium": (low, high)} if judged else {}

    made = [Reference(f"{cell}: published, MCC", "none published")]
    for method, bound in _IDENTIFYING.items():
        made.append(Reference(f"{cell}: {method}, MCC", "none published"))
        note = "Of profiles that differ twofold."
        made.append(Reference(f"{cell}: {method}, smallest MCC", "1 (theory)", band(bound, None), note))
    exact = "0 (theory)" if kind != "noise" else "biased (theory)"
    made.append(Reference(f"{cell}: oracle, error of F", exact, band(None, 0.02)))
    made.append(Reference(f"{cell}: random rotation, MCC", "Monte Carlo"))
    made.append(Reference(f"{cell}: pooled, MCC", "that of a random rotation"))
    means_differ = kind == "mean"  # then F is biased without labels, and the level is not a rotation's
    level = None if means_differ else (-0.1, 0.1)
    note = "F is biased where means differ and labels are missing: see the page." if means_differ else ""
    quantity = f"{cell}: pooled, MCC above random rotation"
    made.append(Reference(quantity, "0 with zero means (theory)", band(*level) if level else {}, note))
    made.append(Reference(f"{cell}: pooled, MCC above all maximisers", "0 (theory)", band(-0.1, 0.1)))
    made.append(Reference(f"{cell}: pooled, error of F", "0 without means (theory)"))
    made.append(Reference(f"{cell}: N4SID, error of H, inputs known", "0 (theory)", band(None, 0.02)))
    made.append(Reference(f"{cell}: coroICA, MCC", "none published"))
    made.append(Reference(f"{cell}: coroICA of y, MCC", "none published"))
    if kind == "noise":
        made += [Reference(f"{cell}: {method}, MCC", "none published") for method in methods.KALMAN]
    return made


REFERENCES = tuple(_references())


def premises(config: Any) -> Mapping[str, Any]:
    """The report of Table 1 for every world, and whether the optional packages are there."""

    def with_packages(report):
        found = report()
        return dataclasses.replace(found, premises=(*found.premises, *_packages()))

    of_arms = table1_claims.reports([arm for arm in arms(config) if arm.config.method == COMPILED])
    return {name: functools.partial(with_packages, report) for name, report in of_arms.items()}


def _packages() -> list[Premise]:
    found = []
    for package in dict.fromkeys(methods.PACKAGES.values()):
        users = [method for method, needed in methods.PACKAGES.items() if needed == package]
        there = methods.installed(users[0])
        why = f"left out without it: {' and '.join(users)}; {methods.INSTALL}"
        text = "installed" if there else "not installed"
        found.append(Premise(f"package {package}", True if there else None, text, why))
    return found


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """All scores per system of every cell, the smallest over distinct profiles, and what is above levels of chance."""
    found = list(_cells(arms(config), results))
    levels = {dim: final for _, dim, method, final in found if method == LEVELS}
    measured = {}
    for cell, dim, method, final in found:
        if method == COMPILED:
            measured |= _of_compiled(cell, final)
            measured |= {f"{cell}: {name}": values for name, values in levels.get(dim, {}).items()}
        elif method != LEVELS:
            measured |= {f"{cell}: {method}, {name}": values for name, values in final.items()}
    for cell in dict.fromkeys(cell for cell, *_ in found):
        pooled = measured.get(f"{cell}: pooled, MCC")
        for name, level in (("all maximisers", methods.MAXIMISERS), ("random rotation", "random rotation")):
            if pooled is not None and f"{cell}: {level}, MCC" in measured:
                measured[f"{cell}: pooled, MCC above {name}"] = pooled - measured[f"{cell}: {level}, MCC"]
    return measured


def _of_compiled(cell: str, final: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    measured = {f"{cell}: {method}, {one}": final[f"{method}: {one}"] for method in TOGETHER for one in QUANTITIES}
    distinct = final["profile gap"] >= table1_claims.DISTINCT
    for method in _IDENTIFYING:
        mccs = final[f"{method}: MCC"]
        measured[f"{cell}: {method}, smallest MCC"] = np.array([mccs[distinct].min() if distinct.any() else np.nan])
    return measured


def _cells(arms: Sequence[Arm], results: Mapping[str, Results]) -> Iterator[tuple[str, int, str, Mapping[str, Any]]]:
    """Cell of the table, its size, method and last values, per cell of every arm."""
    swept = {arm.name: "zero_means" in arm.sweep for arm in arms}
    for at, final in points(arms, results):
        kind = "noise" if not swept[at["arm"]] else "zero mean" if at["zero_means"] else "mean"
        yield f"d {at['dim']}, {kind}", at["dim"], at["method"], final


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC over all transitions of every method, with a random rotation as the level of nothing identified."""
    measured = measure(config, results)
    cells = dict.fromkeys(cell for cell, _, method, _ in _cells(arms(config), results) if method != LEVELS)
    series = {}
    for method in (*TOGETHER, *methods.PACKAGES, *methods.KALMAN, "random rotation"):
        found = {cell: measured.get(f"{cell}: {method}, MCC") for cell in cells}
        if any(values is not None for values in found.values()):
            series[method] = {cell: values for cell, values in found.items() if values is not None}
    caption = "MCC of the controls on the same worlds. A random rotation is what no method may be proud of."
    return [Figure(caption, figure_png(bars(series, "MCC")))]
