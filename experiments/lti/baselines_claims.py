"""The table of baselines: what is compared, bands, what is measured (host methods included), premises and figures."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.lti import baselines_methods as methods
from experiments.lti import table1_claims, worlds
from experiments.lti.estimators import ESTIMATORS
from identax import points
from identax.assumptions.lti import excitation_report
from identax.assumptions.report import Premise
from identax.assumptions.symmetry import expected_rotation_mcc
from identax.experiment import Arm, Reference
from identax.metrics import chance_mcc
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.rng import stream
from identax.run import Results

COMPILED = (*ESTIMATORS, "oracle", "pooled")
"""as `compiled_unmixings` names them"""
_LEVEL = "all maximisers of pooled"
HOSTED = (*methods.PACKAGES, *methods.KALMAN)
CELLS = ("mean", "zero mean", "noise")
"""known means, zero means, zero means and noise 1e-4 (variance .01) on the observations"""
_IDENTIFYING = {"closed form": 0.99, "conditional": 0.999}


def arms(config: Any) -> Sequence[Arm]:
    """Per size both kinds of means in one program, and with noise where asked for."""
    made = []
    for dim in config.dims:
        made.append(Arm(f"d {dim}", dataclasses.replace(config, dim=dim), {"zero_means": (0.0, 1.0)}))
        if dim in config.noisy_dims:
            noisy = dataclasses.replace(config, dim=dim, zero_means=1.0, noise=1e-4)
            made.append(Arm(f"d {dim}, noise", noisy))
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
    """The report of Table 1 for every arm, and whether the optional packages are there."""

    def with_packages(report):
        found = report()
        return dataclasses.replace(found, premises=(*found.premises, *_packages()))

    of_arms = table1_claims.reports(arms(config))
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
    """All scores per system of every cell, the smallest over distinct profiles, and the two levels of chance."""
    measured = {}
    for cell, arm, result, mask in _cells(arms(config), results):
        for method in COMPILED:
            for quantity in methods.QUANTITIES:
                measured[f"{cell}: {method}, {quantity}"] = result.final(f"{method}: {quantity}")[mask]
        hosted = [_hosted(arm.config, *trial) for trial in _trials(result, mask)]
        distinct = np.array([gap for gap, _ in hosted]) >= table1_claims.DISTINCT
        for method in _IDENTIFYING:
            mccs = measured[f"{cell}: {method}, MCC"]
            measured[f"{cell}: {method}, smallest MCC"] = np.array([mccs[distinct].min() if distinct.any() else np.nan])
        measured |= _of_hosted(cell, [scores for _, scores in hosted])
        levels = np.array([scores[_LEVEL]["MCC"] for _, scores in hosted])
        measured[f"{cell}: {_LEVEL}, MCC"] = levels
        measured[f"{cell}: pooled, MCC above all maximisers"] = measured[f"{cell}: pooled, MCC"] - levels
        level, sd = _rotation_level(arm.config.dim)
        measured[f"{cell}: random rotation, MCC"] = np.array([level])
        measured[f"{cell}: random rotation, sd of MCC"] = np.array([sd])
        measured[f"{cell}: pooled, MCC above random rotation"] = measured[f"{cell}: pooled, MCC"] - level
        measured[f"{cell}: chance, MCC"] = np.array([_chance(arm.config)])
    return measured


def _of_hosted(cell: str, scores: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, np.ndarray]:
    """NaN where a method failed; nothing of methods that ran on no system."""
    made = {}
    for method in HOSTED:
        ran = [one[method] for one in scores if method in one]
        for quantity in dict.fromkeys((*methods.QUANTITIES, *(name for one in ran for name in one))):
            if ran and quantity != "batch MCC":
                made[f"{cell}: {method}, {quantity}"] = np.array([one.get(quantity, np.nan) for one in ran])
    return made


def _trials(result: Results, mask: np.ndarray) -> list[tuple[int, tuple[tuple[str, float], ...]]]:
    """Seed and traced values of every trial."""
    columns = {name: np.asarray(values)[mask] for name, values in result.trials.hparams.items()}
    return [
        (int(seed), tuple((name, float(column[i])) for name, column in columns.items()))
        for i, seed in enumerate(np.asarray(result.trials.seeds)[mask])
    ]


@functools.lru_cache(maxsize=4096)
def _hosted(config, seed: int, values: tuple[tuple[str, float], ...]):
    """(profile gap, scores of the host methods) of one trial, on the world that its compiled trial drew.

    Remembered: the table and the figure ask for the same.
    """
    with jax.enable_x64(True):
        hparams = dict(values)
        key, world = worlds.redrawn(worlds.draw_world, config, seed, hparams)
        kalman = hparams["noise"] > 0 and seed < config.kalman_systems
        gap = excitation_report(world.environments).smallest_gap
        scores = methods.host_scores(key, world, config, kalman=kalman)
        return gap, scores | {_LEVEL: {"MCC": methods.maximisers_mcc(stream(key, "levels"), world)}}


@functools.lru_cache(maxsize=32)
def _rotation_level(dim: int) -> tuple[float, float]:
    with jax.enable_x64(True):
        mean, sd = expected_rotation_mcc(jax.random.key(0), (dim,), num_draws=4096)
        return float(mean), float(sd)


def _chance(config) -> float:
    count = (config.num_environments or config.dim + 1) * (config.num_samples - 1)
    with jax.enable_x64(True):
        return float(chance_mcc(jax.random.key(0), config.dim, count, num_draws=8)[0])


def _cells(arms: Sequence[Arm], results: Mapping[str, Results]) -> Iterator[tuple[str, Arm, Results, np.ndarray]]:
    named = {arm.name: arm for arm in arms}
    for at, result, mask in points.cells(arms, results):
        arm = named[at["arm"]]
        kind = "noise" if "zero_means" not in arm.sweep else "zero mean" if at["zero_means"] else "mean"
        yield f"d {at['dim']}, {kind}", arm, result, mask


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC over all transitions of every method, with a random rotation as the level of nothing identified."""
    measured = measure(config, results)
    cells = [cell for cell, *_ in _cells(arms(config), results)]
    series = {}
    for method in (*COMPILED, *HOSTED, "random rotation"):
        found = {cell: measured.get(f"{cell}: {method}, MCC") for cell in cells}
        if any(values is not None for values in found.values()):
            series[method] = {cell: values for cell, values in found.items() if values is not None}
    caption = "MCC of the controls on the same worlds. A random rotation is what no method may be proud of."
    return [Figure(caption, figure_png(bars(series, "MCC")))]
