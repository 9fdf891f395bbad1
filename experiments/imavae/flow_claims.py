"""What `imavae/flow` compares, predicts and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import oracles, relations, sweeps
from experiments.imavae.config import check_config
from experiments.imavae.drawn_worlds import TRUTH, flow_world
from experiments.imavae.worlds import World
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

ARM, ALTERNATING = "flow", "flow, alternating halves"
CONTRAST = "C_IMA of the mixing"
EDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def arms(config: Any) -> Sequence[Arm]:
    """The published flow, and one whose halves swap roles."""
    check_config(config)
    other = dataclasses.replace(config, parity="alternating", num_seeds=config.num_alternating)
    return (Arm(ARM, config), *((Arm(ALTERNATING, other),) if config.num_alternating else ()))


_RUNS = "67 of 100 runs, gamma^2 1e5 (data file)"
REFERENCES = (
    Reference(f"{ARM}: MCC, sampled batches", f".723 +- .085, {_RUNS}", note="As of rotated normals."),
    Reference(f"{ARM}: MCC", "not published for posterior means"),
    Reference(f"{ARM}: c_IMA of mean Jacobians", f".058 +- .065, {_RUNS}"),
    Reference(
        f"{ARM}: C_IMA of the mixing", f"of batch-mean Jacobians .254 +- .367, median .165, {_RUNS}",
        note="Ours is the mean of local contrasts, which is larger: .57 where that of mean Jacobians is .28.",
    ),
    Reference(
        f"{ARM}: Spearman of {CONTRAST} and MCC, sampled batches", f"-.11, p .38, {_RUNS}",
        note="No relation published: the normal prior allows rotations, so that MCC says little.",
    ),
    Reference(f"{ARM}: Spearman of c_IMA of mean Jacobians and MCC, sampled batches", f"-.53, {_RUNS}"),
    Reference(
        f"{ARM}: log10 variance over predicted", f".011 +- .029, {_RUNS}",
        {"quick": (-0.1, 0.1), "medium": (-0.1, 0.1)}, note="Self-consistency holds whatever the mixing.",
    ),
    Reference(f"{ARM}: -ELBO", f"14.7 +- 9.6, {_RUNS}", note="Beside -log p(x) and -L_IMA of the same flows."),
)  # fmt: skip


def premises(config: Any) -> dict[str, Any]:
    """What the theorem asks for; densities of one flow of each arm: the others' stand beside their measurements."""
    return oracles.premises(arms(config), world)


def world(config: Any) -> World:
    """The world of one arm; every seed draws another flow."""
    return flow_world(config.dim, config.parity, config.largest_spread)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed, with oracles of its flow; rank correlations over the seeds."""
    found: dict[str, np.ndarray] = {}
    for arm, values in relations.per_seed(results, TRUTH).items():
        found |= relations.of_arm(arm, values)
        found |= relations.correlations(arm, values, (CONTRAST, "c_IMA of mean Jacobians"), relations.MCCS)
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """MCC over the contrast of the flow; recovery over training."""
    drawn = []
    for arm, values in relations.per_seed(results, TRUTH).items():
        drawn += relations.recovery_figure(values, CONTRAST, EDGES, f"{arm}: MCC by the contrast of the true flow.")
    return [*drawn, *sweeps.training_figures(arms(config), results)]
