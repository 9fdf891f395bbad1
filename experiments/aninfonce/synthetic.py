"""AnInfoNCE recovers content and style on a synthetic sphere where InfoNCE loses style.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, synthetic experiment.
One batch: z uniform on the sphere, z+ near it with a different precision per latent, both seen through a random
invertible MLP; an encoder and (AnInfoNCE) a diagonal precision are trained jointly; the embedding is compared with z.

    python -m experiments run aninfonce/synthetic --preset quick
"""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.aninfonce import spectra
from experiments.aninfonce import synthetic_claims as claims
from experiments.aninfonce import synthetic_figures as drawing
from experiments.aninfonce.optimizers import two_rate_adam
from experiments.aninfonce.warm_start import canonical_start
from identax.dgp import anisotropic_pairs, random_invertible_mlp
from identax.experiment import RunConfig
from identax.losses import aninfonce, infonce
from identax.metrics import block_r2, linear_r2, mcc, precision_recovery, rank_matched_mcc
from identax.models import mlp, normalize
from identax.rng import stream
from identax.study import HostTrial, Study, gradient_study

TRACED = ("high", "low", "temperature", "learning_rate", "precision_learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the authors' setting (their README and logs)."""

    objective: Literal["aninfonce", "infonce", "theory"] = "aninfonce"
    """"theory": of the arm that only records what a perfect encoder would learn"""
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
    temperatures: tuple[float, ...] = (1.0, 1 / 3, 0.1)
    """InfoNCE arms are run at each of these; must hold `temperature`"""
    scheme: str = "two_view"
    learning_rate: float = 1e-4
    precision_learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """"cosine": constant for `flat` of the steps, then a half cosine to 0"""
    flat: float = 0.7
    warm_starts: tuple[int, ...] = ()
    """steps after which an AnInfoNCE encoder's last layer is put into canonical coordinates, see `canonical_start`"""
    spare_dims: int = 0
    """embedding dims beyond `dim` until the first warm start; 1 cures spectra on which training folds a latent"""
    num_warm_start: int = 4096
    control: bool = False
    """also runs the hard spectrum without `spare_dims` and `warm_starts`"""
    num_steps: int = 100_000
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096


_QUICK = Config(
    dim=6,
    batch_size=128,
    hidden=(64, 64, 64),
    learning_rate=3e-3,
    precision_learning_rate=5e-2,
    schedule="cosine",
    flat=0.5,
    warm_starts=(2500, 3250),
    spare_dims=1,
    num_steps=6000,
    checkpoint_every=2000,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK,
        pool_size=100,
        warm_starts=(10,),
        num_warm_start=256,
        num_steps=20,
        log_every=10,
        evaluate_every=20,
        checkpoint_every=20,
        num_evaluate=256,
        num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK,
        dim=10,
        batch_size=256,
        hidden=(64, 128, 128, 64),
        learning_rate=2e-3,
        precision_learning_rate=3e-2,
        warm_starts=(7000, 9500),
        num_warm_start=16_384,
        num_steps=12_000,
        checkpoint_every=2000,
        control=True,
    ),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study | HostTrial:
    """Sampler, encoder, loss, optimiser and metrics of one trial; or what theory says, which the premises know."""
    return _theory(config) if config.objective == claims.THEORY else training(config)


def _theory(config: Config) -> HostTrial:
    def trial(key, hparams):
        return claims.of_theory(dataclasses.replace(config, **{name: float(hparams[name]) for name in ("high", "low")}))

    return HostTrial(trial)


def training(config: Config) -> Study:
    """The study of one loss on one spectrum."""
    dgp = anisotropic_pairs(
        config.dim, mixing=random_invertible_mlp(config.dim, pool_size=config.pool_size), threshold=config.threshold
    )
    width = config.dim + config.spare_dims
    backbone, last = mlp(config.hidden, activate_last=True), mlp((width,))
    learns_precision = config.objective == "aninfonce"

    def init(key, hparams):
        truth = dgp.init(
            stream(key, "truth"),
            precision=spectra.precision(config.spectrum, config.dim, high=hparams["high"], low=hparams["low"]),
        )
        params: dict[str, Any] = {
            "encoder": {
                "backbone": backbone.init(stream(key, "backbone"), jnp.zeros((1, config.dim)))["params"],
                "last": last.init(stream(key, "last"), jnp.zeros((1, config.hidden[-1])))["params"],
            }
        }
        if learns_precision:
            params["raw_precision"] = 0.1 * jax.random.normal(stream(key, "precision"), (width,))
        return truth, params, {"used": jnp.ones(width)}

    def sample(state, key):
        return dgp.sample(state.truth, key, config.batch_size).observations

    def features(params, x):
        return backbone.apply({"params": params["encoder"]["backbone"]}, x)[0]

    def embed(params, model_state, x):
        output = last.apply({"params": params["encoder"]["last"]}, features(params, x))[0]
        return normalize(output * model_state["used"][None, :])

    def loss(params, state, batch, key):
        z, z_pos = jnp.split(embed(params, state.model_state, jnp.concatenate(batch)), 2)
        if learns_precision:
            per_example = aninfonce(z, z_pos, jax.nn.softplus(params["raw_precision"]), scheme=config.scheme)
        else:
            per_example = infonce(z, z_pos, temperature=state.hparams["temperature"], scheme=config.scheme)
        return per_example, (state.model_state, {})

    def optimizer(hparams):
        return two_rate_adam(hparams, schedule=config.schedule, num_steps=config.num_steps, flat=config.flat)

    def warm_start(state, key, dims):
        drawn = dgp.sample(state.truth, key, config.num_warm_start).observations
        z, z_pos = (embed(state.params, state.model_state, x)[:, :dims] for x in drawn)
        seen = features(state.params, drawn[0])
        last, raw, used = canonical_start(seen, z, z_pos, dim=config.dim, width=width)
        params = {"encoder": {**state.params["encoder"], "last": last}, "raw_precision": raw}
        return dataclasses.replace(state, params=params, model_state={"used": used})

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, config.num_evaluate)
        estimates = embed(state.params, state.model_state, drawn.observations[0])
        return _measure(config, state, drawn.latents[0], estimates)

    # The first warm start sees the spare dims and drops them; for later ones they are gone.
    dims = [width] + [config.dim] * len(config.warm_starts)
    starts = config.warm_starts if learns_precision else ()
    events = [(step, partial(warm_start, dims=m)) for step, m in zip(starts, dims, strict=False)]
    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, events=events)


def _measure(config: Config, state, latents, estimates):
    true, blocks = state.truth["precision"], spectra.blocks(config.spectrum, config.dim)
    content, style = block_r2(estimates, latents, blocks)
    score, assignment = mcc(latents, estimates, return_assignment=True)
    found = {"R2": linear_r2(estimates, latents), "content R2": content, "style R2": style, "MCC": score}
    if config.objective == "aninfonce":
        precision = jax.nn.softplus(state.params["raw_precision"]) * state.model_state["used"]
        within = block_r2(estimates, latents, blocks, estimated_precision=precision, true_precision=true)
        errors = precision_recovery(precision, true, assignment=assignment)
        found |= {
            "content R2 within block": within[0],
            "style R2 within block": within[1],
            "rank-matched MCC": rank_matched_mcc(latents, estimates, precision, true),
            "precision error": errors["max_error"],
            "precision": jnp.sort(precision)[config.spare_dims :],
        }
    return found
