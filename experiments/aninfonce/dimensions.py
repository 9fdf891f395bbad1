"""What an embedding of fewer or more dims than latents does to AnInfoNCE and InfoNCE.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025: theory asks for as many
embedding dims as latents, practice does not know how many there are. Same world and training as `aninfonce/synthetic`
with equally spaced precisions; only the embedding's dim m differs from the number n of latents.

    python -m experiments run aninfonce/dimensions --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.aninfonce import dimensions_claims as claims
from experiments.aninfonce.optimizers import two_rate_adam
from identax.dgp import anisotropic_pairs, linear_precision, random_invertible_mlp
from identax.experiment import RunConfig
from identax.losses import aninfonce, infonce
from identax.metrics import linear_r2, mcc
from identax.models import mlp
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("high", "low", "temperature", "learning_rate", "precision_learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The paper's own setting is not public: the protocol is that of `synthetic`."""

    objective: Literal["aninfonce", "infonce"] = "aninfonce"
    dim: int = 10
    """latents"""
    embedding_dim: int = 10
    embedding_dims: tuple[int, ...] = (4, 8, 10, 12, 20)
    """one AnInfoNCE arm each; InfoNCE is run at the largest"""
    weighed_dims: int = 0
    """embedding dims with a precision, the others have none (0) and drop out of the loss; 0: all; of one arm"""
    with_subset: bool = True
    """adds an arm of the most embedding dims, of which as many as there are latents have a precision"""
    high: float = 25.0
    low: float = 5.0
    """ground-truth precision, equally spaced from `low` to `high`"""
    batch_size: int = 1000
    threshold: float = 0.1
    """half-width of the shell in which proposals for positives are accepted"""
    pool_size: int = 25_000
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    temperature: float = 1.0
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
    dim=6,
    embedding_dim=6,
    embedding_dims=(3, 9),
    high=50.0,
    batch_size=128,
    pool_size=2000,
    hidden=(64, 64, 64),
    learning_rate=3e-3,
    precision_learning_rate=5e-2,
    flat=0.5,
    num_steps=2000,
    checkpoint_every=2000,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, dim=3, embedding_dims=(2, 4), batch_size=16, pool_size=50, hidden=(8,), num_steps=20, log_every=10,
        evaluate_every=20, checkpoint_every=20, num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, embedding_dims=(2, 3, 4, 5, 6, 7, 8, 12), hidden=(64, 128, 128, 64), num_steps=10_000,
        learning_rate=2e-3, precision_learning_rate=3e-2,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """Sampler, encoder, loss, optimiser and metrics of one trial."""
    dgp = anisotropic_pairs(
        config.dim, mixing=random_invertible_mlp(config.dim, pool_size=config.pool_size), threshold=config.threshold
    )
    encoder = mlp((*config.hidden, config.embedding_dim), head="sphere")
    learns_precision = config.objective == "aninfonce"
    weighed = jnp.arange(config.embedding_dim) < (config.weighed_dims or config.embedding_dim)

    def precision_of(params):
        return jnp.where(weighed, jax.nn.softplus(params["raw_precision"]), 0.0)

    def init(key, hparams):
        truth = dgp.init(stream(key, "truth"), precision=linear_precision(config.dim, hparams["low"], hparams["high"]))
        params: dict[str, Any] = {"encoder": encoder.init(stream(key, "encoder"), jnp.zeros((1, config.dim)))["params"]}
        if learns_precision:
            params["raw_precision"] = 0.1 * jax.random.normal(stream(key, "precision"), (config.embedding_dim,))
        return truth, params, None

    def sample(state, key):
        return dgp.sample(state.truth, key, config.batch_size).observations

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        z, z_pos = jnp.split(embed(params, jnp.concatenate(batch)), 2)
        if learns_precision:
            values = aninfonce(z, z_pos, precision_of(params), scheme=config.scheme)
        else:
            values = infonce(z, z_pos, temperature=state.hparams["temperature"], scheme=config.scheme)
        return values, (None, {})

    def optimizer(hparams):
        return two_rate_adam(hparams, schedule="cosine", num_steps=config.num_steps, flat=config.flat)

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, config.num_evaluate)
        latents, estimates = drawn.latents[0], embed(state.params, drawn.observations[0])
        r2 = linear_r2(estimates, latents, per_dim=True)  # latents: largest precision last
        variance = estimates.var(axis=0)
        order = jnp.argsort(variance)[::-1]
        found = {
            "R2": r2.mean(),
            "R2 per latent": r2,
            "MCC": mcc(latents, estimates),
            "effective dims": jnp.square(variance.sum()) / jnp.square(variance).sum(),
        }
        if config.weighed_dims:
            found["R2 of the weighed dims"] = linear_r2(estimates[:, : config.weighed_dims], latents)
        if learns_precision:
            found["precision by variance"] = precision_of(state.params)[order]
            found["variance"] = variance[order]
        return found

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
