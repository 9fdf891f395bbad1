"""What `aninfonce/hard_negatives` is held against: Lambda - Lambda^-, the perfect encoder's precision, figures."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from identax.assumptions import ContrastiveObjective, ContrastiveWorld, Report, contrastive_report, oracle_precision
from identax.dgp import identity, linear_precision, pairs_with_negatives
from identax.run import Results
from identax.run.experiment import Arm, Reference
from identax.run.figures import learning_curves, spectrum
from identax.run.report import Figure, figure_png

KINDS = ("uniform", "isotropic", "anisotropic")
"""names of the entries of `Config.negative_precision`"""
_DERIVED = "Λ - Λ⁻ (derived)"
_CHECKED = f"{_DERIVED}; authors' modules: within 2 %"
_LARGEST = "Largest relative error over all latents, each with the embedding dim that matches it."
REFERENCES = (
    Reference("oracle, uniform: precision error", "Λ; authors' modules: within 3 %", {"quick": (None, 0.03)}),
    Reference("oracle, isotropic: precision error", _CHECKED, {"quick": (None, 0.02)}, "Perfect encoder, M=48."),
    Reference("oracle, anisotropic: precision error", _CHECKED, {"quick": (None, 0.02)}, "Perfect encoder, M=48."),
    Reference("hard, uniform: precision error", "Λ (derived)", {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, isotropic: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, anisotropic: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
    Reference("hard, isotropic: MCC", "1: all entries of Λ - Λ⁻ differ (derived)", {"quick": (0.95, None)}),
    Reference("hard, anisotropic: MCC", "1 (derived)", {"quick": (0.95, None)}),
    Reference(
        "signed: precision of latent 1", "-8 (derived)", {"quick": (-8.8, -7.2)}, "Negatives nearer than positives."
    ),
    Reference("signed: precision error", _DERIVED, {"quick": (None, 0.10)}, _LARGEST),
    Reference("clipped: precision of latent 1", "-8, which a positive one cannot be (derived)", {"quick": (0.0, 1.0)}),
)


def target(config: Any, negatives: Sequence[float]) -> np.ndarray:
    """Lambda - Lambda^- [n]; what is uniform for all purposes counts as Lambda^- = 0."""
    values = np.asarray(negatives, float)
    return np.asarray(_positives(config)) - np.where(values < 0.01, 0.0, values)


def _positives(config: Any) -> tuple[float, ...]:
    return tuple(np.asarray(linear_precision(config.dim, config.low, config.high)).tolist())


def premises(arms: Sequence[Arm]) -> Mapping[str, Report]:
    """Whether the arm's precision can be what theory says it is, in the arm's hardest world."""
    return {arm.name: _report(arm.config, arm.sweep["negative_precision"][-1]) for arm in arms}


def _report(config: Any, negatives: Any) -> Report:
    world = ContrastiveWorld(
        "sphere", config.dim, precision=_positives(config), negative_precision=tuple(negatives), exact=False
    )
    objective = ContrastiveObjective(
        "aninfonce", "sphere", config.batch_size, num_negatives=config.num_negatives, signed=config.signed
    )
    return contrastive_report(world, objective)


@functools.lru_cache
def oracle_of(
    precision: tuple[float, ...], negatives: tuple[float, ...], threshold: float, num_steps: int
) -> tuple[float, ...]:
    """Precision that a perfect encoder learns, N=96 anchors with M=48 negatives each."""
    dim = len(precision)
    dgp = pairs_with_negatives(
        dim, mixing=identity(), num_negatives=48, precision=np.array(precision), negative_precision=np.array(negatives),
        threshold=threshold,
    )  # fmt: skip
    truth = dgp.init(jax.random.key(0))
    found = oracle_precision(
        jax.random.key(1),
        lambda key, num: dgp.sample(truth, key, num).latents,
        dim,
        num_pairs=96,
        num_steps=num_steps,
        init=np.array(precision) - np.array(negatives),
        learning_rates=(0.1, 0.02),
    )
    return tuple(np.asarray(found).tolist())


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity; of the arm `hard`, per kind of negatives, with the perfect encoder's."""
    measured: dict[str, np.ndarray] = {}
    for label, negatives, final in _cells(config, results):
        wanted = target(config, negatives)
        measured |= {f"{label}: {name}": final[name] for name in ("R2", "R2 of latent 1", "MCC")}
        measured[f"{label}: precision of latent 1"] = final["precision"][:, 0]
        measured[f"{label}: precision error"] = np.abs(final["precision"] / wanted - 1).max(axis=1)
        if label.startswith("hard"):
            oracle = np.array(oracle_of(_positives(config), tuple(negatives), config.threshold, config.oracle_steps))
            name = label.replace("hard", "oracle")
            measured[f"{name}: precision error"] = np.abs(oracle / wanted - 1).max(keepdims=True)
    return measured


def _cells(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, Sequence[float], dict[str, np.ndarray]]]:
    """Label, precision of the negatives and final values of every kind of negatives and arm that was run."""
    for arm, result in results.items():
        given = np.asarray(result.trials.hparams["negative_precision"])
        rows = config.negative_precision if arm == "hard" else (config.excessive,)
        for kind, row in zip(KINDS, rows, strict=False):
            mask = np.isclose(given, row).all(axis=1)
            label = f"hard, {kind}" if arm == "hard" else arm
            yield label, row, {name: result.final(name)[mask] for name in result.evaluation}


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Learned precisions against Lambda - Lambda^-, per kind of negatives, and recovery over training."""
    drawn = []
    for label, negatives, final in _cells(config, results):
        picture = spectrum(target(config, negatives), final["precision"], title=label)
        drawn.append(Figure(f"{label}: learned precision against Λ - Λ⁻.", figure_png(picture)))
    steps = next(iter(results.values())).evaluation_steps
    for name in ("R2", "MCC"):
        curves = {arm: result.evaluation[name] for arm, result in results.items()}
        picture = learning_curves(steps, curves, name, title=f"{name} with hard negatives")
        drawn.append(Figure(f"{name} over the steps with hard negatives.", figure_png(picture)))
    return drawn
