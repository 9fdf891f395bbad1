"""What `aninfonce/ensembles` compares, and what it is held against: blocks refined by each other, random rotations."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import ContrastiveObjective, ContrastiveWorld, Report, contrastive_report
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """The ensemble, and every one of its conditionals alone with the same encoder and budget."""
    alone = [Arm(f"alone {pattern}", dataclasses.replace(config, patterns=(pattern,))) for pattern in config.patterns]
    return (Arm("ensemble", config), *alone)


REFERENCES = (
    Reference("ensemble: MCC", "1: no two latents share both precisions (derived)", {"quick": (0.95, None)}),
    Reference("ensemble: R2", "1 (derived)", {"quick": (0.98, None)}),
    Reference(
        "alone, all: MCC",
        "random rotation in two blocks of 2: 0.90 ± 0.06 per trial",
        {"quick": (0.845, 0.955)},
        "Both single losses, band three standard errors around the expectation for 12 trials.",
    ),
    Reference("alone, all: R2", "1 (derived)", {"quick": (0.98, None)}),
    Reference(
        "ensemble: precision error", "0 (derived; the sampler's own bias is a few per cent)", {"quick": (None, 0.1)}
    ),
)


def premises(config: Any) -> Mapping[str, Report]:
    """Which latents share all precisions of each arm."""
    return {arm.name: _report(arm.config) for arm in arms(config)}


def _report(config: Any) -> Report:
    rows = tuple(
        tuple(config.high if letter == "h" else config.low for letter in pattern) for pattern in config.patterns
    )
    world = ContrastiveWorld("sphere", len(rows[0]), precisions=rows, exact=False)
    return contrastive_report(
        world, ContrastiveObjective("aninfonce", "sphere", config.batch_size, scheme=config.scheme)
    )


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity; `alone, all` joins the arms with a single loss."""
    measured: dict[str, np.ndarray] = {}
    for arm, result in results.items():
        for name in ("R2", "MCC", "precision error"):
            measured[f"{arm}: {name}"] = result.final(name)
        measured[f"{arm}: linear R2"] = result.final("R2")
        measured[f"{arm}: collapsed loss"] = result.train["loss"][:, 0]
    alone = [arm.name for arm in arms(config)[1:] if arm.name in results]
    for name in ("R2", "MCC") if alone else ():
        measured[f"alone, all: {name}"] = np.concatenate([measured[f"{arm}: {name}"] for arm in alone])
    return measured


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC over training, and at the end."""
    drawn = []
    steps = next(iter(results.values())).evaluation_steps
    for name in ("MCC", "R2"):
        curves = {arm: result.evaluation[name] for arm, result in results.items()}
        picture = learning_curves(steps, curves, name, title=f"{name} over training")
        drawn.append(
            Figure(f"{name} of the ensemble and of its losses alone, same encoder and steps.", figure_png(picture))
        )
    final = {"MCC": {arm: result.final("MCC") for arm, result in results.items()}}
    picture = bars(final, "MCC", title="MCC at the end", ylim=(0.0, 1.02))
    return [*drawn, Figure("MCC at the end, every dot a trial.", figure_png(picture))]
