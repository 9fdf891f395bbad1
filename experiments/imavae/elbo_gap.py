"""The ELBO of the best encoder tends to the log-likelihood less the IMA contrast, for the true decoder, as 1 / gamma^2.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, ELBO gap. The decoder is
the true map, fixed: a triangular MLP, outside the IMA class, and a map inside. Every sample's posterior is optimised
exactly (quadrature and Newton's method), beside encoder networks, which the paper trained. The published maps are not
known, so the authors' numbers are shown for their shape.

    python -m experiments run imavae/elbo_gap --preset quick
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.imavae import elbo_gap_claims as claims
from experiments.imavae.vae import grown_precision
from identax.assumptions import (
    asymptotic_variance,
    elbo_star,
    encoder_elbo,
    gauss_hermite,
    l_ima,
    log_likelihood,
)
from identax.experiment import RunConfig
from identax.jacobians import jacobian
from identax.losses import elbo, gaussian_prior
from identax.losses.elbo import sample_gaussian
from identax.metrics import self_consistency
from identax.models import mlp
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import cosine

FLOAT64 = True
"""at gamma^2 = 1e5 the gap is 1e-6 of the bound's terms"""
TRACED = ("precision", "learning_rate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Two maps, each with exact optima over a sweep and with trained encoders over another."""

    dim: int = 2
    mixing: Literal["triangular", "IMA class"] = "triangular"
    """of one arm"""
    mixing_seed: int = 0
    """all seeds see one map, and other latents"""
    off_diagonal: float = 2.0
    """scale of the triangular map's entries below the diagonals, which sets the contrast"""
    precision: float = 1e3
    """gamma^2 of the decoder"""
    precisions: tuple[float, ...] = tuple(10.0 ** (1 + number / 2) for number in range(9))
    """at which optima are computed; `precision` is not read"""
    late_precisions: tuple[float, ...] = (1e6, 1e7, 1e8, 1e9)
    """further ones of the triangular map, whose gap changes its sign before 1e4; the other map takes the first"""
    encoder_precisions: tuple[float, ...] = tuple(10.0 ** (1 + number / 2) for number in range(9))
    """at which encoders are trained"""
    trained: bool = False
    """of one arm: an encoder network instead of optima"""
    num_nodes: int = 20
    """of the quadrature, per dim"""
    num_evaluate: int = 512
    """latents over which values are averaged"""
    num_layers: int = 3
    """linear maps of the encoder"""
    width: int = 30
    """hidden units, in multiples of dim"""
    learning_rate: float = 1e-3
    anneal: bool = True
    """gamma^2 grows from 1e1 to its value as `vae.grown_precision` says"""
    batch_size: int = 256
    num_steps: int = 262_800
    log_every: int = 657
    evaluate_every: int = 26_280
    checkpoint_every: int = 26_280
    num_seeds: int = 5


_QUICK = Config(
    encoder_precisions=(1e1, 1e2),
    num_evaluate=64,
    num_nodes=16,
    learning_rate=3e-3,
    num_steps=3000,
    log_every=500,
    evaluate_every=3000,
    checkpoint_every=3000,
    num_seeds=2,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, precisions=(1e1, 1e5), late_precisions=(), encoder_precisions=(1e1,), num_evaluate=4, num_nodes=6,
        width=4, batch_size=16, num_steps=20, log_every=10, evaluate_every=20, checkpoint_every=20,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, encoder_precisions=(1e1, 1e2, 1e3, 1e4), num_evaluate=256, num_nodes=20, num_steps=20_000,
        evaluate_every=20_000, checkpoint_every=20_000, num_seeds=3,
    ),
    "paper": Config(),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures
true_map = claims.true_map


def build(config: Config) -> Study | Callable[..., Any]:
    """Exact optima as a trial, or the training of an encoder."""
    return _encoder_study(config) if config.trained else _optima(config)


def _optima(config: Config):
    def trial(key, hparams):
        z = jax.random.normal(stream(key, "evaluation"), (config.num_evaluate, config.dim))
        function, prior, precision = true_map(config), gaussian_prior(), hparams["precision"]
        nodes = gauss_hermite(config.dim, config.num_nodes)
        best = elbo_star(function, z, prior=prior, precision=precision, nodes=nodes)
        expected = asymptotic_variance(jacobian(function, z), z, prior, precision)
        width = self_consistency(jnp.exp(best.log_variance), expected)
        return {
            "L_IMA": l_ima(function, z, prior).mean(),
            "log p": log_likelihood(function, z, prior).mean(),
            "ELBO*": best.value.mean(),
            "largest slope left": best.slope.max(),
            "|mean - z|": jnp.abs(best.mean - z).mean(),
            "log10 variance over predicted": width["log10_ratio"],
        }

    return trial


def _encoder_study(config: Config) -> Study:
    hidden = (config.width * config.dim,) * (config.num_layers - 1)
    model = mlp((*hidden, 2 * config.dim), kernel_init="xavier_uniform", slope=0.2)
    prior = gaussian_prior()

    def init(key, hparams):
        made = model.init(stream(key, "model"), jnp.zeros((1, config.dim)))
        return (), made["params"], made["state"]

    def posterior(params, state, x):
        moments, _ = model.apply({"params": params, "state": state.model_state}, x)
        return jnp.split(moments, 2, axis=1)

    def sample(state, key):
        return true_map(config)(jax.random.normal(key, (config.batch_size, config.dim)))

    def loss(params, state, x, key):
        mean, log_variance = posterior(params, state, x)
        u = sample_gaussian(key, mean, log_variance)
        precision = state.hparams["precision"]
        if config.anneal:
            precision = grown_precision(precision, 10.0, state.step / config.num_steps)
        options = {"prior": prior, "precision": precision, "kl": "analytic"}
        bound = elbo(x, true_map(config)(u), u, mean, log_variance, **options)
        return -bound.value, (state.model_state, {})

    def optimizer(hparams):
        return optax.adam(cosine(hparams["learning_rate"], config.num_steps, 0.5))

    def evaluate(state, key):
        # At the latents of the exact optima of this seed.
        z = jax.random.normal(stream(state.key, "evaluation"), (config.num_evaluate, config.dim))
        function, nodes = true_map(config), gauss_hermite(config.dim, config.num_nodes)
        mean, log_variance = posterior(state.params, state, function(z))
        options = {"prior": prior, "precision": state.hparams["precision"], "nodes": nodes}
        return {"ELBO": encoder_elbo(function, function(z), mean, log_variance, **options).mean()}

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
