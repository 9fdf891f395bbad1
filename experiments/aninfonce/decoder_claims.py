"""What `aninfonce/decoder` compares, predicts and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    Report,
    contrastive_report,
    pair_correlations,
)
from identax.dgp import ShellProjectedNormal, Sphere, bimodal_precision
from identax.experiment import Arm, Reference
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """The generator, one for all seeds; AnInfoNCE and InfoNCE on its worlds; the reach of encoder and of pixels."""
    steps = config.decoder_steps
    generator = dataclasses.replace(
        config, objective="generator", num_seeds=1, seed=config.decoder_seed, num_steps=steps,
        batch_size=config.decoder_batch_size, learning_rate=config.decoder_learning_rate, log_every=min(250, steps),
        evaluate_every=steps, checkpoint_every=steps,
    )  # fmt: skip
    compared: dict[str, dict[str, Any]] = {name: {"objective": name} for name in ("aninfonce", "infonce", "supervised")}
    compared["pixels"] = {"objective": "pixels", "num_steps": 0}
    fixed = ("high", "low", "temperature", "learning_rate", "precision_learning_rate")
    return (
        Arm("generator", generator, fixed=fixed),
        *(Arm(name, dataclasses.replace(config, **own), after="generator") for name, own in compared.items()),
    )


SIDE, SHOWN = 28, 12
"""pixels of a digit's side; pairs on the page"""
_NO_NUMBER = "higher for AnInfoNCE (abstract; no numbers found)"
_OURS = "not in the paper"

REFERENCES = (
    Reference("aninfonce: content R2", _NO_NUMBER, {"quick": (0.96, None)}),
    Reference("aninfonce: style R2", _NO_NUMBER, {"quick": (0.88, None)}),
    Reference("infonce: content R2", _NO_NUMBER, {"quick": (0.90, None)}),
    Reference("infonce: style R2", _NO_NUMBER, {"quick": (None, 0.20)}, note="Temperature 1."),
    Reference(
        "style R2, AnInfoNCE above InfoNCE",
        "> 0 (abstract; no numbers found)",
        {"quick": (0.7, None), "medium": (0.5, None)},
        note="Difference seed by seed: the same world and the same starting encoder.",
    ),
    Reference(
        "supervised: style R2",
        _OURS,
        {"quick": (0.96, None)},
        note="Regression on the true latents: the encoder and the generator are not what loses style.",
    ),
    Reference(
        "pixels: style R2", _OURS, note="Linear readout of all 784 pixels, fitted with the true latents; held out."
    ),
    Reference("pixels: style R2 of principal components", _OURS, note="As many components as latents; held out."),
    Reference("aninfonce: precision error", _OURS, note="Largest relative error: a short run does not finish it."),
)


def premises(config: Any) -> dict[str, Report]:
    """The theorem's premises for the contrastive arms, with the collapse predicted from the world's pairs.

    Whether the decoder is invertible is not provable; the arm "supervised" measures it.
    """
    precision = bimodal_precision(config.dim, high=config.high, low=config.low)
    space = Sphere(config.dim)
    z = space.uniform(jax.random.key(0), 20_000)
    rho = pair_correlations(z, ShellProjectedNormal(precision, config.threshold).sample(jax.random.key(1), z, space))
    world = ContrastiveWorld(
        "sphere",
        config.dim,
        precision=tuple(np.asarray(precision, float).tolist()),
        exact=False,
        mixing_is_invertible=None,
    )
    objectives = {
        name: ContrastiveObjective(
            name, "sphere", config.batch_size, temperature=config.temperature, scheme=config.scheme
        )
        for name in ("aninfonce", "infonce")
    }
    return {name: contrastive_report(world, objective, rho=rho) for name, objective in objectives.items()}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Final values per seed as "<arm>: <metric>", and the gap in style R^2 between the two losses, seed by seed."""
    found = {
        f"{arm}: {name}": result.final(name)
        for arm, result in results.items()
        for name, values in result.evaluation.items()
        if values.ndim == 2
    }
    if {"aninfonce", "infonce"} <= set(results):
        gap = found["aninfonce: style R2"] - found["infonce: style R2"]
        found["style R2, AnInfoNCE above InfoNCE"] = gap
    return found
