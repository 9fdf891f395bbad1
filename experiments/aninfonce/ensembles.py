"""Two losses with their own positives and precisions, over one encoder, tell apart what neither does alone.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, loss ensembles.
One batch: anchors z uniform on the sphere, and for each of K conditionals one positive; the loss is the mean of K
AnInfoNCE losses that share the encoder but not the precision. Latents stay mixed only where all K precisions are equal.

    python -m experiments run aninfonce/ensembles --preset quick
"""

import dataclasses

import jax
import jax.numpy as jnp

from experiments.aninfonce import ensembles_claims as claims
from experiments.aninfonce.optimizers import two_rate_adam
from identax.dgp import ensemble_pairs, random_invertible_mlp
from identax.experiment import RunConfig
from identax.losses import aninfonce, ensemble
from identax.metrics import linear_r2, mcc
from identax.models import mlp
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("high", "low", "learning_rate", "precision_learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The paper's own setting is not public: protocol and encoder as in `synthetic`."""

    patterns: tuple[str, ...] = ("hhll", "hlhl")
    """one per conditional: the precision of every latent, h for `high`, l for `low`"""
    high: float = 25.0
    low: float = 5.0
    batch_size: int = 1000
    threshold: float = 0.1
    """half-width of the shell in which proposals for positives are accepted"""
    pool_size: int = 25_000
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    scheme: str = "two_view"
    learning_rate: float = 1e-4
    precision_learning_rate: float = 1e-3
    flat: float = 0.7
    """share of the steps at constant learning rates; then half a cosine to 0"""
    num_steps: int = 100_000
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096


_QUICK = Config(
    batch_size=128,
    pool_size=2000,
    hidden=(64, 64, 64),
    learning_rate=3e-3,
    precision_learning_rate=5e-2,
    flat=0.5,
    num_steps=2500,
    checkpoint_every=2500,
    num_seeds=6,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, batch_size=16, pool_size=50, hidden=(8,), num_steps=20, log_every=10, evaluate_every=20,
        checkpoint_every=20, num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, patterns=("hhhhllll", "hhllhhll", "hlhlhlhl"), batch_size=256, hidden=(64, 128, 128, 64),
        learning_rate=2e-3, precision_learning_rate=3e-2, num_steps=8000, checkpoint_every=2000,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """Sampler, encoder, losses, optimiser and metrics of one trial."""
    num, dim = len(config.patterns), len(config.patterns[0])
    dgp = ensemble_pairs(dim, mixing=random_invertible_mlp(dim, pool_size=config.pool_size), threshold=config.threshold)
    encoder = mlp((*config.hidden, dim), head="sphere")

    def init(key, hparams):
        is_high = jnp.array([[letter == "h" for letter in pattern] for pattern in config.patterns])
        truth = dgp.init(stream(key, "truth"), precisions=jnp.where(is_high, hparams["high"], hparams["low"]))
        params = {
            "encoder": encoder.init(stream(key, "encoder"), jnp.zeros((1, dim)))["params"],
            "raw_precision": 0.1 * jax.random.normal(stream(key, "precision"), (num, dim)),
        }
        return truth, params, None

    def sample(state, key):
        return dgp.sample(state.truth, key, config.batch_size).observations

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        x, x_pos = batch
        z, *positives = jnp.split(embed(params, jnp.concatenate([x, *x_pos])), 1 + num)
        precisions = jax.nn.softplus(params["raw_precision"])
        losses = [
            aninfonce(z, z_pos, precision, scheme=config.scheme)
            for z_pos, precision in zip(positives, precisions, strict=True)
        ]
        return ensemble(losses), (None, {})

    def optimizer(hparams):
        return two_rate_adam(hparams, schedule="cosine", num_steps=config.num_steps, flat=config.flat)

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, config.num_evaluate)
        latents, estimates = drawn.latents[0], embed(state.params, drawn.observations[0])
        score, assignment = mcc(latents, estimates, return_assignment=True)
        precisions = jax.nn.softplus(state.params["raw_precision"])[:, assignment]
        error = jnp.abs(precisions / state.truth["precisions"] - 1)
        return {
            "R2": linear_r2(estimates, latents),
            "MCC": score,
            "precisions": precisions,
            "precision error": error.max(),
        }

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
