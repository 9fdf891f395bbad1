"""What `aninfonce/hard_negatives` compares, and what it is held against: Lambda - Lambda^- above all."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    Report,
    contrastive_report,
    optimal_precision,
)
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves, spectrum
from identax.run import Results

PRETRAINING_RATES = (3e-3, 5e-2)
"""of encoder and precision: those of `synthetic`'s quick preset"""
CONTROL, ORACLE = "uniform", "anisotropic"


def arms(config: Any) -> Sequence[Arm]:
    """Training with the negatives of the batch, where asked for; after it hard ones of all kinds; a perfect encoder.

    Those that a positive precision cannot follow also have a signed one. The encoder that hard negatives start from is
    the same for all kinds.
    """
    made, after = [], None
    if config.pretraining_steps:
        steps, (rate, precision_rate) = config.pretraining_steps, PRETRAINING_RATES
        first = dataclasses.replace(
            config, phase="pretraining", num_steps=steps, evaluate_every=steps, checkpoint_every=steps,
            learning_rate=rate, precision_learning_rate=precision_rate,
        )  # fmt: skip
        fixed = ("negative_precision", "learning_rate", "precision_learning_rate")
        one = {"negative_precision": (_negatives(config, CONTROL),)}
        made, after = [Arm("pretraining", first, one, fixed=fixed)], "pretraining"
    signed = dataclasses.replace(config, signed=True)
    perfect = dataclasses.replace(config, phase="oracle", num_steps=0, num_seeds=config.oracle_seeds)
    return (
        *made,
        Arm("hard", config, {"negative_precision": config.negative_precision}, after=after),
        Arm("signed", signed, {"negative_precision": config.negative_precision[-1:]}, after=after),
        Arm("oracle", perfect, {"negative_precision": (_negatives(config, ORACLE),)}),
    )


def _negatives(config: Any, kind: str) -> Sequence[float]:
    return config.negative_precision[KINDS.index(kind)]


def _hard(config: Any) -> list[Arm]:
    return [arm for arm in arms(config) if arm.config.phase == "hard"]


KINDS = ("uniform", "isotropic", "anisotropic", "too hard")
"""names of the entries of `Config.negative_precision`"""
_DERIVED = "Λ - Λ⁻ (derived)"
_LARGEST = "Largest relative error over all latents, each with the embedding dim that matches it."
REFERENCES = (
    Reference(
        "oracle, anisotropic: precision error",
        f"{_DERIVED}; authors' modules: within 2 %",
        {"quick": (None, 0.02)},
        "Perfect encoder: largest relative error of the mean over seeds.",
    ),
    Reference("hard, uniform: precision error", "Λ (derived)", {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, isotropic: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, anisotropic: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, isotropic: MCC", "1: all entries of Λ - Λ⁻ differ (derived)", {"quick": (0.95, None)}),
    Reference("hard, anisotropic: MCC", "1 (derived)", {"quick": (0.95, None)}),
    Reference(
        "hard, too hard: precision of latent 1", "-8, which a positive one cannot be (derived)", {"quick": (0.0, 1.0)}
    ),
    Reference(
        "signed, too hard: precision of latent 1",
        "-8 (derived)",
        {"quick": (-8.8, -7.2)},
        "Negatives nearer than positives.",
    ),
    Reference("signed, too hard: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
)


def target(config: Any, negatives: Sequence[float]) -> np.ndarray:
    """Lambda - Lambda^- [n]; what is uniform for all purposes counts as Lambda^- = 0."""
    values = np.asarray(negatives, float)
    return optimal_precision(_positives(config), np.where(values < 0.01, 0.0, values), signed=True)


def _positives(config: Any) -> tuple[float, ...]:
    return tuple(np.linspace(config.low, config.high, config.dim).tolist())


def premises(config: Any) -> Mapping[str, Report]:
    """Whether the learned precision can follow theory: `hard` in its world before the last, `signed` in the last."""
    return {
        arm.name: _report(arm.config, arm.config.negative_precision[-1 if arm.config.signed else -2])
        for arm in _hard(config)
    }


def _report(config: Any, negatives: Any) -> Report:
    world = ContrastiveWorld(
        "sphere", config.dim, precision=_positives(config), negative_precision=tuple(negatives), exact=False
    )
    objective = ContrastiveObjective(
        "aninfonce", "sphere", config.batch_size, num_negatives=config.num_negatives, signed=config.signed
    )
    return contrastive_report(world, objective)


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm, kind of negatives: quantity`; `oracle`: the perfect encoder's."""
    measured: dict[str, np.ndarray] = {}
    for arm, kind, negatives, final in _cells(config, results):
        wanted = target(config, negatives)
        measured |= {f"{arm}, {kind}: {name}": final[name] for name in ("R2", "R2 of latent 1", "MCC")}
        measured[f"{arm}, {kind}: precision of latent 1"] = final["precision"][:, 0]
        measured[f"{arm}, {kind}: precision error"] = np.abs(final["precision"] / wanted - 1).max(axis=1)
    if "oracle" in results:
        mean = results["oracle"].final("precision").mean(axis=0)
        wanted = target(config, _negatives(config, ORACLE))
        measured[f"oracle, {ORACLE}: precision error"] = np.abs(mean / wanted - 1).max(keepdims=True)
    return measured


def _cells(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, str, Sequence[float], dict[str, Any]]]:
    """Arm, kind, precision of the negatives and final values [seeds, ...] of all that was run."""
    kinds = {tuple(row): kind for kind, row in zip(KINDS, config.negative_precision, strict=True)}
    for at, final in points(_hard(config), results):
        negatives = tuple(at["negative_precision"])
        yield at["arm"], kinds[negatives], negatives, final


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Learned precisions against Lambda - Lambda^-, per kind of negatives, and recovery over training."""
    drawn = []
    for arm, kind, negatives, final in _cells(config, results):
        picture = spectrum(target(config, negatives), final["precision"], title=f"{arm}, {kind}")
        drawn.append(Figure(f"{arm}, {kind} negatives: learned precision against Λ - Λ⁻.", figure_png(picture)))
    trained = {arm.name: results[arm.name] for arm in _hard(config) if arm.name in results}
    for name in ("R2", "MCC") if trained else ():
        steps = next(iter(trained.values())).evaluation_steps
        curves = {arm: result.evaluation[name] for arm, result in trained.items()}
        picture = learning_curves(steps, curves, name, title=f"{name} with hard negatives")
        drawn.append(Figure(f"{name} over the steps with hard negatives.", figure_png(picture)))
    return drawn
