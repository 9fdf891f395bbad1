"""What the experiments of this paper share: one autoencoder on one world, trained by the ELBO, and what is measured.

One batch: sources s of the world, x = f(s) without noise, u ~ q(u|x), z = squash(u), the decoder's mean at z. Minimised
is -ELBO with decoder precision gamma^2, which is traced: a grid of precisions and seeds is one program.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.imavae.config import VaeConfig
from identax.assumptions.ima import variance_of
from identax.checks import check_choice
from identax.dgp import DGP
from identax.jacobians import jacobian
from identax.losses import (
    Prior,
    elbo,
    gaussian_prior,
    importance_weighted_bound,
    laplace_prior,
    logistic_prior,
    mle_precision,
    uniform_prior,
)
from identax.metrics import c_ima, column_norms, dead_dims, epoch_mcc, mcc, mean_jacobian_c_ima, self_consistency
from identax.models import (
    Autoencoder,
    autoencode,
    decoder_function,
    init_autoencoder,
    mlp_autoencoder,
    reconstruct_mean,
)
from identax.rng import stream
from identax.study import State, Study, gradient_study
from identax.transforms import cosine

TRACED = ("precision", "beta", "learning_rate")
"""Numeric fields of `VaeConfig` that become traced hyper-parameters: sweeping them never recompiles."""
PRIORS: dict[str, Callable[[], Prior]] = {
    "uniform": uniform_prior,
    "logistic": logistic_prior,
    "gaussian": gaussian_prior,
    "laplace": laplace_prior,
}
DEAD = {"uniform": 1.0, "logistic": 1.0, "gaussian": 0.5, "laplace": 0.5}
"""mean posterior variance above which a dim of u carries nothing, by prior: a third to a half of a collapsed one's"""
SHOWN = 512
"""evaluated latents that are kept for scatter plots"""


class Parts(NamedTuple):
    """What `vae_study` composes: the world, encoder and decoder, and the prior of a trial's parameters.

    `init_prior(key)`: the parameters of a prior that is learned, under "prior". `truth(key, hparams)`: where the world
    depends on a trial's hyper-parameters; else the DGP's. `dead(params)`: variances of u above which a dim counts as
    dead, a number or [n]. `render(truth, latents)`: observations of a training set that
    is stored as latents, for images, which are larger; else observations are stored.
    """

    dgp: DGP
    model: Autoencoder
    prior: Callable[[Any], Prior]
    dead: Callable[[Any], Any]
    init_prior: Callable[[Any], Any] | None = None
    truth: Callable[[Any, Any], Any] | None = None
    render: Callable[[Any, Any], Any] | None = None


class Codes(NamedTuple):
    """What observations are encoded to: `z` [N, n], squashed posterior means, and `slopes` [N, D, n], the decoder's
    Jacobian there."""

    z: Any
    slopes: Any


def synthetic_parts(config: VaeConfig, dgp: DGP) -> Parts:
    """MLPs as the authors' (Xavier-uniform weights, leaky ReLU of slope 0.2) and a prior without parameters.

    Raises `ValueError` for a prior that has parameters to learn.
    """
    check_choice("imavae", "prior", config.prior, tuple(PRIORS))
    hidden = (config.width * config.dim,) * (config.num_layers - 1)
    model = mlp_autoencoder(config.dim, config.dim, hidden=hidden, kernel_init="xavier_uniform", slope=0.2)
    return Parts(dgp, model, lambda params: PRIORS[config.prior](), lambda params: DEAD[config.prior])


def _all_shown(state: State, drawn: Any, found: Any) -> dict[str, Any]:
    return {"observations": drawn.observations, "reconstructions": found.reconstruction}


def vae_study(
    config: VaeConfig,
    parts: Parts,
    *,
    extra: Callable[[State, Any, Codes], dict[str, Any]] = lambda state, drawn, codes: {},
    penalty: Callable[[Any, Any, Any, Any], Any] | None = None,
    shown: Callable[[State, Any, Any], dict[str, Any]] = _all_shown,
) -> Study:
    """The study of one configuration: Adam on -ELBO, one draw of u per example.

    `extra(state, drawn, codes)` are further metrics of an evaluation, of its sample and the codes of that.
    `penalty(decode, z, hparams, key)`, per example, is added to -ELBO; its z passes no gradient on to the encoder.
    `shown(state, drawn, found)` are arrays that are kept beside `SHOWN` latents and codes, of what encodes them.
    """

    def init(key, hparams):
        make = parts.truth or (lambda key, hparams: parts.dgp.init(key))
        truth = {"world": make(stream(key, "truth"), hparams)}
        if config.num_examples is not None:
            drawn = parts.dgp.sample(truth["world"], stream(key, "train"), config.num_examples)
            truth["train"] = drawn.latents if parts.render else drawn.observations
        example = jax.eval_shape(lambda: parts.dgp.sample(truth["world"], key, 1).observations)
        made = init_autoencoder(parts.model, stream(key, "model"), jnp.zeros(example.shape, example.dtype))
        if parts.init_prior is not None:
            made["params"]["prior"] = parts.init_prior(stream(key, "prior"))
        if config.precision_rule == "learned":
            made["params"]["log decoder variance"] = -jnp.log(hparams["precision"])
        return truth, made["params"], made["state"]

    def sample(state, key):
        if config.num_examples is None:
            return parts.dgp.sample(state.truth["world"], key, config.batch_size).observations
        batch = state.truth["train"][jax.random.randint(key, (config.batch_size,), 0, config.num_examples)]
        return parts.render(state.truth["world"], batch) if parts.render else batch

    def loss(params, state, batch, key):
        inputs = {"params": params, "state": state.model_state}
        prior = parts.prior(params)
        found, model_state = autoencode(parts.model, inputs, batch, key, prior=prior, train=True)
        precision = _precision(config, parts, inputs, batch, state.hparams, state.step)
        bound = _bound(batch, found, prior, precision, state.hparams["beta"])
        values = -bound.value
        if penalty is not None:
            decode = decoder_function(parts.model, {**inputs, "state": model_state})
            z = jax.lax.stop_gradient(found.z)
            values = values + penalty(decode, z, state.hparams, stream(key, "penalty"))
        return values, (model_state, {"KL": bound.kl.mean()})

    def optimizer(hparams):
        rate = hparams["learning_rate"]
        return optax.adam(rate if config.schedule == "constant" else cosine(rate, config.num_steps, 0.5))

    def evaluate(state, key):
        drawn = parts.dgp.sample(state.truth["world"], stream(key, "sample"), config.num_evaluate)
        precision = _precision(config, parts, variables(state), drawn.observations, state.hparams)
        found, codes = measured(parts, state, drawn, stream(key, "posterior"), config.published_batch, precision)
        if config.precision_rule in ("learned", "largest likelihood"):
            found["decoder precision"] = precision
        if config.num_importance:
            keys = jax.random.split(stream(key, "importance"), config.num_importance)
            found["importance-weighted -ELBO"] = _importance_weighted(parts, state, drawn.observations, keys, precision)
        return found | extra(state, drawn, codes)

    def keep(state, key):
        drawn = parts.dgp.sample(state.truth["world"], key, SHOWN)
        found = reconstruct_mean(parts.model, variables(state), drawn.observations, prior=parts.prior(state.params))
        return {"latents": drawn.latents, "codes": found.z} | shown(state, drawn, found)

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, keep=keep)


def variables(state: State) -> dict[str, Any]:
    """Variables of encoder and decoder in a state of `vae_study`."""
    return {"params": state.params, "state": state.model_state}


def _precision(config, parts, inputs, x, hparams, step=None):
    """gamma^2 of the decoder: given, a parameter, or of largest likelihood at posterior means, without a gradient.

    `step`: of training, for one that grows; None: as it ends.
    """
    if config.precision_rule == "learned":
        return jnp.exp(-inputs["params"]["log decoder variance"])
    if config.precision_rule == "largest likelihood":
        means = reconstruct_mean(parts.model, inputs, x, prior=parts.prior(inputs["params"]))
        return jax.lax.stop_gradient(mle_precision(x, means.reconstruction))
    if config.precision_rule == "grown" and step is not None:
        return grown_precision(hparams["precision"], config.grown_from, step / config.num_steps)
    return hparams["precision"]


def grown_precision(precision: Any, start: Any, share: Any) -> Any:
    """gamma^2 after this share of the steps: `start` up to 15 %, `precision` from 60 % on, a geometric mean between."""
    left = jnp.clip((0.6 - share) / 0.45, 0.0, 1.0)
    return precision * (start / precision) ** left


def measured(
    parts: Parts, state: State, drawn: Any, key: Any, published_batch: int, precision: Any
) -> tuple[dict[str, Any], Codes]:
    """Metrics of an evaluation on one sample of the world, and the codes of its observations.

    The oracle of self-consistency stands beside what the encoder gives: sigma^2 against the variance that the decoder's
    Jacobian predicts.
    """
    prior, decode = parts.prior(state.params), decoder_function(parts.model, variables(state))
    x, latents = drawn.observations, drawn.latents
    published_batch = min(published_batch, len(x))
    found, _ = autoencode(parts.model, variables(state), x, key, prior=prior)
    means = reconstruct_mean(parts.model, variables(state), x, prior=prior)
    bound = _bound(x, found, prior, precision, 1.0)
    # At draws and at means, by one pass: half as much to compile.
    slopes, at_mean = jnp.split(jacobian(decode, jnp.concatenate([found.z, means.z])), 2)
    predicted = variance_of(column_norms(at_mean), means.u, prior, precision)
    variance = jnp.exp(found.log_variance)
    consistent = self_consistency(variance, predicted, x, means.reconstruction)
    return {
        "-ELBO": -bound.value.mean(),
        "KL": bound.kl.mean(),
        "log likelihood": bound.log_likelihood.mean(),
        "MCC": mcc(latents, means.z),
        "MCC, sampled batches": epoch_mcc(latents, found.z, published_batch),
        "c_IMA": c_ima(slopes).mean(),
        "c_IMA of mean Jacobians": mean_jacobian_c_ima(slopes, batch_size=published_batch),
        "MSE of x": consistent["mse"],
        "variance": variance.mean(),
        "log10 variance": jnp.log10(variance.mean(axis=0)).mean(),
        "log10 variance over predicted": consistent["log10_ratio"],
        "sd of log10 variance over predicted": consistent["log10_ratio_sd"],
        "dead dims": dead_dims(variance / jnp.broadcast_to(parts.dead(state.params), variance.shape)),
    }, Codes(means.z, at_mean)


def _importance_weighted(parts, state, x, keys, precision):
    """-log of the mean over draws of p(x, u) / q(u|x), one draw after the other: a tighter -ELBO."""
    prior = parts.prior(state.params)

    def weight(key):
        found, _ = autoencode(parts.model, variables(state), x, key, prior=prior)
        bound = _bound(x, found, prior, precision, 1.0)
        return bound.log_likelihood, bound.kl

    return -importance_weighted_bound(*jax.lax.map(weight, keys)).mean()


def _bound(x, found, prior, precision, beta):
    options = {"precision": precision, "beta": beta}
    return elbo(x, found.reconstruction, found.u, found.mean, found.log_variance, prior=prior, **options)
