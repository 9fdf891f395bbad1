"""With hard negatives AnInfoNCE learns the precision of positives minus the precision of negatives.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, hard negative mining.
One batch: anchors z uniform on the sphere; one positive each from a conditional with precision Lambda, and M
negatives from a second one around the same anchor with precision Lambda^-. The optimal similarity is the log ratio of
both, so the learned precision is Lambda - Lambda^-; where that is negative, only a signed precision can follow.

    python -m experiments run aninfonce/hard_negatives --preset quick
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.aninfonce import hard_negatives_claims as claims
from experiments.aninfonce import synthetic
from experiments.aninfonce.optimizers import two_rate_adam
from identax.assumptions import oracle_precision
from identax.dgp import anisotropic_pairs, identity, linear_precision, pairs_with_negatives, random_invertible_mlp
from identax.experiment import RunConfig
from identax.losses import aninfonce
from identax.metrics import linear_r2, mcc
from identax.models import mlp, normalize
from identax.rng import step_key, stream
from identax.study import Study, gradient_study

TRACED = ("high", "low", "negative_precision", "learning_rate", "precision_learning_rate")
"""Fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""

_EASIEST = 1e-3  # a shell-projected normal of this precision is uniform to one part in a thousand


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The paper's own setting is not public: world and protocol as in `synthetic`."""

    dim: int = 5
    high: float = 30.0
    low: float = 12.0
    """precision of the positives, equally spaced from `low` to `high`, so that every latent can be told apart"""
    negative_precision: tuple[tuple[float, ...], ...] = (
        (_EASIEST,) * 5,
        (6.0,) * 5,
        (8.0, 2.0, 8.0, 2.0, 10.0),
        (20.0, 2.0, 8.0, 2.0, 10.0),
    )
    """of the negatives, one trial per entry and seed: uniform ones (the control), equally hard in all latents, harder
    in some, and harder than the positives are in the first latent"""
    signed: bool = False
    """learned precision = raw instead of softplus(raw), so it may be negative"""
    num_negatives: int = 48
    batch_size: int = 1000
    threshold: float = 0.1
    """half-width of the shell in which proposals for positives and negatives are accepted"""
    pool_size: int = 25_000
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    pretraining_steps: int = 0
    """steps of `synthetic`'s training, negatives from the batch, before hard negatives set in; an arm of its own"""
    phase: Literal["pretraining", "hard", "oracle"] = "hard"
    """of one arm"""
    warm_starts: tuple[int, ...] = ()
    """pretraining steps after which the last layer is put into canonical coordinates"""
    learning_rate: float = 1e-4
    precision_learning_rate: float = 1e-3
    flat: float = 0.7
    """share of the steps at constant learning rates; then half a cosine to 0"""
    num_steps: int = 100_000
    oracle_steps: int = 3000
    oracle_seeds: int = 8
    """steps in which the precision of a perfect encoder is found, for comparison, and how many times"""
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096


_QUICK = Config(
    num_negatives=8,
    batch_size=128,
    pool_size=2000,
    hidden=(64, 64, 64),
    pretraining_steps=4000,
    warm_starts=(1250, 1750),
    learning_rate=5e-4,
    precision_learning_rate=5e-2,
    flat=0.5,
    num_steps=1500,
    num_seeds=4,
    checkpoint_every=1500,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, num_negatives=3, batch_size=16, pool_size=50, hidden=(8,), pretraining_steps=20, warm_starts=(10,),
        num_steps=20, oracle_steps=6, oracle_seeds=2, log_every=10, evaluate_every=20, checkpoint_every=20,
        num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, num_negatives=16, batch_size=256, hidden=(64, 128, 64), pretraining_steps=6000,
        warm_starts=(2500, 3250), num_steps=4000, checkpoint_every=2000,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """What one trial of an arm is: training with the batch's negatives, with hard ones, or a perfect encoder's."""
    return {"pretraining": _pretraining, "hard": _hard, "oracle": _oracle}[config.phase](config)


def _hard(config: Config) -> Study:
    """Sampler, encoder, loss, optimiser and metrics with hard negatives."""
    dim, mixing = config.dim, random_invertible_mlp(config.dim, pool_size=config.pool_size)
    world = pairs_with_negatives(dim, mixing=mixing, num_negatives=config.num_negatives, threshold=config.threshold)
    pairs = anisotropic_pairs(dim, mixing=mixing, threshold=config.threshold)  # the same, where no negative is needed
    backbone, last = mlp(config.hidden, activate_last=True), mlp((dim,))

    def init(key, hparams, *before):
        start = before[0] if before else _pretraining(config).init(key, hparams)
        truth = world.init(
            stream(key, "truth"),
            precision=start.truth["precision"],
            negative_precision=jnp.maximum(hparams["negative_precision"], _EASIEST),
        )
        params = _without_spare_dims(start.params, dim)
        raw = params["raw_precision"]
        return truth, {**params, "raw_precision": jax.nn.softplus(raw) if config.signed else raw}, None

    def sample(state, key):
        return world.sample(state.truth, key, config.batch_size).observations

    def embed(params, x):
        features = backbone.apply({"params": params["encoder"]["backbone"]}, x)[0]
        return normalize(last.apply({"params": params["encoder"]["last"]}, features)[0])

    def precision_of(params):
        return params["raw_precision"] if config.signed else jax.nn.softplus(params["raw_precision"])

    def loss(params, state, batch, key):
        num, many = batch[2].shape[:2]
        z = embed(params, jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in batch]))
        z, z_pos, negatives = z[:num], z[num : 2 * num], z[2 * num :].reshape(num, many, dim)
        return aninfonce(z, z_pos, precision_of(params), negatives=negatives, signed=config.signed), (None, {})

    def optimizer(hparams):
        return two_rate_adam(hparams, schedule="cosine", num_steps=config.num_steps, flat=config.flat)

    def evaluate(state, key):
        drawn = pairs.sample(state.truth, key, config.num_evaluate)
        latents, estimates = drawn.latents[0], embed(state.params, drawn.observations[0])
        score, assignment = mcc(latents, estimates, return_assignment=True)
        r2 = linear_r2(estimates, latents, per_dim=True)
        found = {"R2": r2.mean(), "R2 of latent 1": r2[0], "MCC": score}
        return {**found, "precision": precision_of(state.params)[assignment]}

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def _oracle(config: Config):
    """Trial function: the precision that a perfect encoder learns from N=96 anchors with M=8 negatives each, [n]."""
    dgp = pairs_with_negatives(config.dim, mixing=identity(), num_negatives=8, threshold=config.threshold)

    def trial(key, hparams):
        positives = linear_precision(config.dim, hparams["low"], hparams["high"])
        others = hparams["negative_precision"]
        truth = dgp.init(stream(key, "truth"), precision=positives, negative_precision=others)

        def draw(key, num):
            return dgp.sample(truth, key, num).latents

        options = {"num_pairs": 96, "num_steps": config.oracle_steps, "learning_rates": (0.1, 0.02)}
        return {"precision": oracle_precision(key, draw, config.dim, init=positives - others, **options)}

    return trial


def _pretraining(config: Config) -> Study:
    """Training of `synthetic`, with the negatives of the batch.

    Negatives near the anchor teach an untrained encoder next to nothing about what is far apart: from scratch most
    trials keep a latent folded for thousands of steps.
    """
    settings = synthetic.Config(
        spectrum="linear",
        dim=config.dim,
        batch_size=config.batch_size,
        threshold=config.threshold,
        pool_size=config.pool_size,
        hidden=config.hidden,
        schedule="cosine",
        flat=0.5,
        warm_starts=config.warm_starts,
        spare_dims=1 if config.warm_starts else 0,
        num_steps=max(config.pretraining_steps, 1),
        num_evaluate=config.num_evaluate,
    )
    study = synthetic.training(settings)

    def with_own_stream(change):  # of the warm start's draws: that of the figures in docs/papers/aninfonce.md
        return lambda state, key: change(state, stream(step_key(state.key, state.step), "warm start"))

    return study._replace(
        init=lambda key, hparams: study.init(key, {"temperature": 1.0, **hparams}),
        events=tuple((after, with_own_stream(change)) for after, change in study.events),
    )


def _without_spare_dims(params: Mapping[str, Any], dim: int) -> dict[str, Any]:
    last = jax.tree.map(lambda leaf: leaf[..., :dim], params["encoder"]["last"])
    return {"encoder": {**params["encoder"], "last": last}, "raw_precision": params["raw_precision"][:dim]}
