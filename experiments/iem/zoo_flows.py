"""Learners of `iem/zoo` by maximum likelihood: a flow that keeps volumes, and Gaussian mechanisms of its latents.

With free Gaussians per class it is GIN, the nonlinear ICA of auxiliary variables; with the known graph's mechanisms, as
they are or intervened on, it is causal component analysis (CauCA).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.dgp import (
    ExchangeableMechanisms,
    Mixing,
    SourceMechanism,
    compose,
    fixed_mixing,
    intervened_world,
    orthogonal,
)
from identax.dgp.parameter_priors import given_prior
from identax.losses import class_gaussian_nll, half_squared_weights
from identax.metrics import mcc
from identax.models import volume_preserving
from identax.numerics import product
from identax.rng import stream
from identax.study import Study, gradient_study

PARENTS = ((), (0,), (0,), (1, 2))
"""of the four latent variables of the interventions' world"""


def edges() -> np.ndarray:
    """The graph, bool [d, d]: entry (i, j) is i -> j."""
    graph = np.zeros((len(PARENTS),) * 2, bool)
    for child, of in enumerate(PARENTS):
        graph[list(of), child] = True
    return graph


def targets(world: Any) -> Any:
    """Which mechanisms every environment intervenes on [E, d]: none, then one after the other; in world 1 none at all.

    A traced `world` gives worlds with and without interventions one program.
    """
    single = np.concatenate([np.zeros((1, len(PARENTS)), bool), np.eye(len(PARENTS), dtype=bool)])
    return single & (world == 0)


def weights(key: Any) -> Any:
    """Of the edges, between .5 and 1.5 in size, either sign."""
    size = jax.random.uniform(stream(key, "size"), edges().shape, minval=0.5, maxval=1.5)
    return edges() * size * jax.random.rademacher(stream(key, "sign"), edges().shape)


def labelled_world(means: Any, scales: Any, mixing: Mixing, mixing_weights: Any) -> ExchangeableMechanisms:
    """S -> O: s_i ~ N(mean_i(u), scale_i(u)^2) of K labels u, [K, n] each, and one mixing."""

    def draw(key, theta, num_environments, num_samples):
        mean, scale = theta
        return mean[:, None] + scale[:, None] * jax.random.normal(key, (num_environments, num_samples))

    laws = [given_prior((means[:, i], scales[:, i])) for i in range(means.shape[1])]
    return ExchangeableMechanisms(
        [SourceMechanism(law, draw) for law in laws], (), fixed_mixing(mixing, mixing_weights)
    )


def volume_preserving_mixing(n: int, *, num_layers: int = 4, gain: float = 1.0) -> Mixing:
    """A random rotation behind a random flow of unit Jacobian, its hidden layers `gain` times the usual size."""
    flow = volume_preserving(num_layers=num_layers, hidden=16)

    def init(key):
        return jax.tree.map(lambda leaf: gain * leaf, flow.init(key, jnp.zeros((1, n)))["params"])

    def apply(params, z):
        return flow.apply({"params": params}, z)[0]

    def inverse(params, x):
        return flow.apply({"params": params}, x, inverse=True)[0]

    return compose(orthogonal(n), Mixing(init, apply, inverse, lambda params, z: jnp.zeros(len(z))))


def draw_world(config: Any, key: Any, mixing: Mixing, world: Any) -> ExchangeableMechanisms:
    """One of `config.case`: labelled sources, or causal variables with or without interventions (by `world`)."""
    mixing_weights = mixing.init(stream(key, "mixing"))
    if config.case == "labels":
        shape = (config.num_labels, config.dim)
        means = jax.random.uniform(stream(key, "means"), shape, minval=-3.0, maxval=3.0)
        scales = jax.random.uniform(stream(key, "scales"), shape, minval=0.3, maxval=1.5)
        return labelled_world(means, scales, mixing, mixing_weights)
    return intervened_world(PARENTS, weights(stream(key, "edges")), mixing, mixing_weights, targets=targets(world))


def build(config: Any) -> Study:
    """Draws a world and its points once per trial; learns the flow and the mechanisms by likelihood."""
    flow = volume_preserving(num_layers=config.num_layers, hidden=config.hidden)
    causal = config.case != "labels"
    num_environments = len(targets(0)) if causal else config.num_labels
    labels = jnp.repeat(jnp.arange(num_environments), config.environment_size)

    def init(key, hparams):
        world = draw_world(config, key, volume_preserving_mixing(config.dim, gain=config.gain), hparams["world"])
        drawn = world.sample(stream(key, "points"), num_environments, config.environment_size)
        x, z = (values.reshape(-1, config.dim) for values in (drawn.observations, drawn.variables))
        rows = 2 if causal else num_environments
        params = {
            "net": flow.init(stream(key, "flow"), x[:1])["params"],
            "means": 0.1 * jax.random.normal(stream(key, "start"), (rows, config.dim)),
            "log_scales": jnp.zeros((rows, config.dim)),
        }
        if causal:
            params["weights"] = jnp.zeros((config.dim, config.dim))
        truth = {"x": x - x.mean(axis=0, keepdims=True), "z": z}
        return truth | ({"targets": targets(hparams["world"])} if causal else {}), params, {}

    def sample(state, key):
        rows = jax.random.randint(key, (config.batch_size,), 0, len(labels))
        return state.truth["x"][rows], labels[rows]

    def losses(params, truth, x, label, decay):
        found = flow.apply({"params": params["net"]}, x)[0]
        means, log_scales = params["means"], params["log_scales"]
        if causal:
            told = truth["targets"]
            # A mechanism that is intervened on has another law and no parents.
            caused = product(found, params["weights"] * edges())
            found = found - jnp.where(told[label], 0.0, caused)
            means, log_scales = (jnp.where(told, values[1:], values[:1]) for values in (means, log_scales))
        return class_gaussian_nll(found, means, log_scales, label) + decay * half_squared_weights(params["net"])

    def loss(params, state, batch, key):
        x, label = batch
        return losses(params, state.truth, x, label, state.hparams["decay"]), (state.model_state, {})

    def optimizer(hparams):
        schedule = optax.cosine_decay_schedule(1.0, config.num_steps)
        adam = optax.adam(lambda step: hparams["learning_rate"] * schedule(step))
        return optax.chain(optax.clip_by_global_norm(10.0), adam)

    def evaluate(state, key):
        found = flow.apply({"params": state.params["net"]}, state.truth["x"])[0]
        return {
            "MCC": mcc(state.truth["z"], found),
            "MCC, observations": mcc(state.truth["z"], state.truth["x"]),
            "negative log likelihood": losses(state.params, state.truth, state.truth["x"], labels, 0.0).mean(),
        }

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
