"""What `aninfonce/hard_negatives` compares, and what it is held against: Lambda - Lambda^- above all."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    Report,
    contrastive_report,
    optimal_precision,
    oracle_precision,
)
from identax.dgp import identity, linear_precision, pairs_with_negatives
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves, spectrum
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """All kinds of negatives with a positive precision; those it cannot follow also with a signed one."""
    return (
        Arm("hard", config, {"negative_precision": config.negative_precision}),
        Arm("signed", dataclasses.replace(config, signed=True), {"negative_precision": config.negative_precision[-1:]}),
    )


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
    return tuple(np.asarray(linear_precision(config.dim, config.low, config.high)).tolist())


def premises(config: Any) -> Mapping[str, Report]:
    """Whether the learned precision can follow theory: `hard` in its world before the last, `signed` in the last."""
    return {
        arm.name: _report(arm.config, arm.config.negative_precision[-1 if arm.config.signed else -2])
        for arm in arms(config)
    }


def _report(config: Any, negatives: Any) -> Report:
    world = ContrastiveWorld(
        "sphere", config.dim, precision=_positives(config), negative_precision=tuple(negatives), exact=False
    )
    objective = ContrastiveObjective(
        "aninfonce", "sphere", config.batch_size, num_negatives=config.num_negatives, signed=config.signed
    )
    return contrastive_report(world, objective)


def oracle_of(config: Any, negatives: Sequence[float]) -> np.ndarray:
    """Precision that a perfect encoder learns from N=96 anchors with M=8 negatives each, [seeds, n]."""
    return np.array(
        _oracle(_positives(config), tuple(negatives), config.threshold, config.oracle_steps, config.oracle_seeds)
    )


@functools.lru_cache
def _oracle(precision: tuple, negatives: tuple, threshold: float, num_steps: int, num_seeds: int):
    dim = len(precision)
    positives, others = np.array(precision), np.array(negatives)
    dgp = pairs_with_negatives(dim, mixing=identity(), num_negatives=8, threshold=threshold)
    truth = dgp.init(jax.random.key(0), precision=positives, negative_precision=others)

    def draw(key, num):
        return dgp.sample(truth, key, num).latents

    keys = jax.random.split(jax.random.key(1), num_seeds)
    options = {"num_pairs": 96, "num_steps": num_steps, "init": positives - others, "learning_rates": (0.1, 0.02)}
    return jax.device_get(jax.vmap(lambda key: oracle_precision(key, draw, dim, **options))(keys)).tolist()


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm, kind of negatives: quantity`; `oracle`: the perfect encoder's."""
    measured: dict[str, np.ndarray] = {}
    for arm, kind, negatives, final in _cells(config, results):
        wanted = target(config, negatives)
        measured |= {f"{arm}, {kind}: {name}": final[name] for name in ("R2", "R2 of latent 1", "MCC")}
        measured[f"{arm}, {kind}: precision of latent 1"] = final["precision"][:, 0]
        measured[f"{arm}, {kind}: precision error"] = np.abs(final["precision"] / wanted - 1).max(axis=1)
        if (arm, kind) == ("hard", "anisotropic"):
            mean = oracle_of(config, negatives).mean(axis=0)
            measured[f"oracle, {kind}: precision error"] = np.abs(mean / wanted - 1).max(keepdims=True)
    return measured


def _cells(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, str, Sequence[float], dict[str, Any]]]:
    """Arm, kind, precision of the negatives and final values [seeds, ...] of all that was run."""
    kinds = {tuple(row): kind for kind, row in zip(KINDS, config.negative_precision, strict=True)}
    for at, final in points(arms(config), results):
        negatives = tuple(at["negative_precision"])
        yield at["arm"], kinds[negatives], negatives, final


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Learned precisions against Lambda - Lambda^-, per kind of negatives, and recovery over training."""
    drawn = []
    for arm, kind, negatives, final in _cells(config, results):
        picture = spectrum(target(config, negatives), final["precision"], title=f"{arm}, {kind}")
        drawn.append(Figure(f"{arm}, {kind} negatives: learned precision against Λ - Λ⁻.", figure_png(picture)))
    steps = next(iter(results.values())).evaluation_steps
    for name in ("R2", "MCC"):
        curves = {arm: result.evaluation[name] for arm, result in results.items()}
        picture = learning_curves(steps, curves, name, title=f"{name} with hard negatives")
        drawn.append(Figure(f"{name} over the steps with hard negatives.", figure_png(picture)))
    return drawn
