"""What `imavae/linear_map` compares, predicts and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import oracles, relations, sweeps
from experiments.imavae.config import check_config
from experiments.imavae.drawn_worlds import TRUTH, linear_world
from experiments.imavae.worlds import World
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

ARM, CONTROL = "moebius and linear", "moebius alone"
CONTRAST = "c_IMA(L)"
EDGES = (0.394, 0.695, 1.227, 2.166, 3.823, 6.747)
"""of the published bins of c_IMA(L), equal in its logarithm"""
PUBLISHED = (
    (4, 0.893, 0.043),
    (13, 0.817, 0.131),
    (36, 0.741, 0.144),
    (33, 0.645, 0.121),
    (12, 0.628, 0.088),
)
"""runs, mean and sd of the MCC of sampled batches, by bin: 98 runs of the authors' data files, gamma^2 1e5"""


def arms(config: Any) -> Sequence[Arm]:
    """The composed mixings, and Moebius maps alone."""
    check_config(config)
    control = dataclasses.replace(config, linear="none", num_seeds=config.num_controls)
    return (Arm(ARM, config), *((Arm(CONTROL, control),) if config.num_controls else ()))


def bin_name(low: float, high: float) -> str:
    """How the quantities of a bin of c_IMA(L) are named."""
    return f"{CONTRAST} {low:.3g} to {high:.3g}"


_SPEARMAN = f"{ARM}: Spearman of {CONTRAST} and MCC"
REFERENCES = (
    Reference(
        f"{_SPEARMAN}, sampled batches",
        "-.474, p 8e-7, 98 runs (data files)",
        {"medium": (None, -0.3)},
        note="One value over all seeds, each another mixing; its bootstrap sd stands below.",
    ),
    Reference(
        _SPEARMAN,
        "not published for posterior means",
        {"quick": (None, 0.0), "medium": (None, -0.3)},
        note="quick: 12 mixings, a direction; its sd is about .25.",
    ),
    Reference(f"{_SPEARMAN}, bootstrap sd", "about .08 to .1 (98 runs, derived)"),
    Reference(f"{ARM}: MCC, sampled batches", ".711 over 98 runs (data files)"),
    Reference(f"{ARM}: MCC", "not published for posterior means"),
    Reference(f"{CONTROL}: MCC", "1 (theory: orthogonal columns everywhere)", {"medium": (0.9, None)}),
    Reference(f"{ARM}: {CONTRAST}", "2.386, sd 1.283 (98 runs); 2.300, sd 1.200 of the law (4000 draws)"),
    Reference(f"{ARM}: C_IMA of the mixing", "1.87 (40 draws of the law); correlation with c_IMA(L) .95"),
    Reference(
        f"{ARM}: Spearman of {CONTRAST} and c_IMA of mean Jacobians", "+.65, 98 runs (data files)",
        note="The contrast of the learned decoder follows that of the world, far below it.",
    ),
    Reference(f"{ARM}: share with a dead dim", "34 of 98: .347 (data files)", note="Variance before the sigmoid > 1."),
    *(
        Reference(f"{ARM}, {bin_name(low, high)}: MCC, sampled batches", f"{mean} +- {sd}, {count} runs (data files)")
        for low, high, (count, mean, sd) in zip(EDGES[:-1], EDGES[1:], PUBLISHED, strict=True)
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Any]:
    """What the theorem asks for; optima of one mixing of each arm: the others' stand beside their measurements."""
    return oracles.premises(arms(config), world)


def world(config: Any) -> World:
    """The world of one arm; every seed draws another mixing."""
    return linear_world(config.dim, config.linear, cosine=config.cosine)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed, with oracles of its mixing; over the seeds, rank correlations, bins and dead dims."""
    found: dict[str, np.ndarray] = {}
    for arm, values in relations.per_seed(results, (*TRUTH, CONTRAST)).items():
        found |= relations.of_arm(arm, values)
        if arm != ARM:
            continue
        found |= relations.correlations(arm, values, (CONTRAST,), (*relations.MCCS, "c_IMA of mean Jacobians"))
        for low, high, inside in relations.bins(values[CONTRAST], EDGES):
            found |= {f"{arm}, {bin_name(low, high)}: {name}": values[name][inside] for name in relations.MCCS}
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """MCC over the bins of c_IMA(L) beside the paper's; -ELBO beside its limit; recovery over training."""
    values = relations.per_seed(results, (*TRUTH, CONTRAST)).get(ARM)
    drawn = []
    if values is not None:
        paper = {at: mean for at, (_, mean, _) in zip(relations.middles(EDGES), PUBLISHED, strict=True)}
        caption = "MCC by c_IMA of the linear map, in the published bins; crosses: the paper's (sampled, γ² = 1e5)."
        drawn += relations.recovery_figure(values, CONTRAST, EDGES, caption, references={"paper": paper})
    return [*drawn, *sweeps.training_figures(arms(config), results)]
