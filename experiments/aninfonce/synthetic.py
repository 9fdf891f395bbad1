"""AnInfoNCE recovers content and style on a synthetic sphere where InfoNCE loses style.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, synthetic experiment.
One batch: z uniform on the sphere, z+ near it with a different precision per latent, both seen through a random
invertible MLP; an encoder and (AnInfoNCE) a diagonal precision are trained jointly; the embedding is compared with z.

    python -m experiments run aninfonce/synthetic --preset quick
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.dgp import anisotropic_pairs, bimodal_precision, linear_precision, random_invertible_mlp
from identax.losses import aninfonce, infonce
from identax.metrics import block_r2, linear_r2, mcc, precision_recovery, rank_matched_mcc
from identax.models import mlp
from identax.rng import stream
from identax.run import Results
from identax.run.experiment import Arm, Reference
from identax.run.figures import learning_curves, spectrum
from identax.run.report import Figure, figure_png
from identax.study import Study, gradient_study

TRACED = ("high", "low", "temperature", "learning_rate", "precision_learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One study. The defaults are the authors' setting (their README and logs)."""

    objective: Literal["aninfonce", "infonce"] = "aninfonce"
    spectrum: Literal["bimodal", "linear"] = "bimodal"
    """ground-truth precision: half `high`, half `low`; or equally spaced from `low` to `high`"""
    high: float = 25.0
    low: float = 5.0
    dim: int = 10
    batch_size: int = 1000
    threshold: float = 0.1
    """half-width of the shell in which proposals for positives are accepted"""
    pool_size: int = 25_000
    """matrices among which the best-conditioned layers of the mixing are chosen"""
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    temperature: float = 1.0
    """of InfoNCE; AnInfoNCE has none"""
    scheme: str = "two_view"
    learning_rate: float = 1e-4
    precision_learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    num_steps: int = 100_000
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096
    num_seeds: int = 5
    seed: int = 0


_QUICK = Config(
    dim=6,
    batch_size=128,
    hidden=(64, 64, 64),
    learning_rate=2e-3,
    precision_learning_rate=4e-2,
    schedule="cosine",
    num_steps=3000,
    checkpoint_every=3000,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, pool_size=100, num_steps=20, log_every=10, evaluate_every=20, checkpoint_every=20,
        num_evaluate=256, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, dim=10, batch_size=256, hidden=(64, 128, 128, 64), learning_rate=1e-3,
        num_steps=8000, checkpoint_every=2000,
    ),
    "paper": Config(),
}


def arms(config: Config) -> Sequence[Arm]:
    """The studies of the experiment: two spectra for AnInfoNCE, InfoNCE mild and collapsing, the hard spectrum."""
    infonce_config = dataclasses.replace(config, objective="infonce")
    return (
        Arm("bimodal", config),
        Arm("linear", dataclasses.replace(config, spectrum="linear")),
        Arm("infonce", infonce_config),
        Arm("infonce-50-2", dataclasses.replace(infonce_config, high=50.0, low=2.0)),
        Arm("bimodal-50-2", dataclasses.replace(config, high=50.0, low=2.0)),
    )


def true_precision(config: Config, hparams: Mapping[str, Any]) -> jax.Array:
    """Ground-truth precision [dim] of a trial."""
    make = {"bimodal": bimodal_precision, "linear": linear_precision}[config.spectrum]
    return make(config.dim, low=hparams["low"], high=hparams["high"])


def blocks(config: Config) -> tuple[list[int], list[int]]:
    """Latents of high precision ("content") and of low precision ("style")."""
    half = config.dim // 2
    indices = list(range(config.dim))
    return (indices[:half], indices[half:]) if config.spectrum == "bimodal" else (indices[-half:], indices[:-half])


def build(config: Config) -> Study:
    """Sampler, encoder, loss, optimiser and metrics of one trial."""
    dgp = anisotropic_pairs(
        config.dim, mixing=random_invertible_mlp(config.dim, pool_size=config.pool_size), threshold=config.threshold
    )
    encoder = mlp((*config.hidden, config.dim), head="sphere")
    learns_precision = config.objective == "aninfonce"

    def init(key, hparams):
        truth = dgp.init(stream(key, "truth"), precision=true_precision(config, hparams))
        params = {"encoder": encoder.init(stream(key, "encoder"), jnp.zeros((1, config.dim)))["params"]}
        if learns_precision:
            params["raw_precision"] = 0.1 * jax.random.normal(stream(key, "precision"), (config.dim,))
        return truth, params, None

    def sample(state, key):
        return dgp.sample(state.truth, key, config.batch_size).observations

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        z, z_pos = embed(params, batch[0]), embed(params, batch[1])
        if learns_precision:
            per_example = aninfonce(z, z_pos, jax.nn.softplus(params["raw_precision"]), scheme=config.scheme)
        else:
            per_example = infonce(z, z_pos, temperature=state.hparams["temperature"], scheme=config.scheme)
        return per_example, (None, {})

    def optimizer(hparams):
        rates = {"encoder": hparams["learning_rate"], "raw_precision": hparams["precision_learning_rate"]}
        groups = {name: optax.adam(_schedule(config, rate)) for name, rate in rates.items()}
        return optax.multi_transform(groups, lambda params: {name: name for name in params})

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, config.num_evaluate)
        latents, estimates = drawn.latents[0], embed(state.params, drawn.observations[0])
        return _measure(config, state, latents, estimates)

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def _schedule(config: Config, rate):
    if config.schedule == "constant":
        return rate
    return lambda count: rate * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(count / config.num_steps, 1.0)))


def _measure(config: Config, state, latents, estimates):
    true = state.truth["precision"]
    content, style = block_r2(estimates, latents, blocks(config))
    score, assignment = mcc(latents, estimates, return_assignment=True)
    found = {"R2": linear_r2(estimates, latents), "content R2": content, "style R2": style, "MCC": score}
    if config.objective == "aninfonce":
        precision = jax.nn.softplus(state.params["raw_precision"])
        within = block_r2(
            estimates, latents, blocks(config), estimated_precision=precision, true_precision=true
        )
        errors = precision_recovery(precision, true, assignment=assignment)
        found |= {
            "content R2 within block": within[0],
            "style R2 within block": within[1],
            "rank-matched MCC": rank_matched_mcc(latents, estimates, precision, true),
            "precision error": errors["max_error"],
            "precision": jnp.sort(precision),
        }
    return found
