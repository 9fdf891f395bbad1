"""Noisy gradients and resets of the last layer, early stopping on a validation split: which state is the best one.

A stand-in for a paper on regularisers: an optimiser with a random stream of its own, rare equal events, a small set of
labelled data in three parts, and a best state chosen by the second part and reported on the third.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.data import epoch_indices
from identax.experiment import Arm, Reference, RunConfig
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.rng import stream
from identax.study import Best, gradient_study

TRACED = ("learning_rate", "noise")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Few noisy labels of a linear rule, seen through a wide layer: it overfits, and should stop."""

    dim: int = 8
    width: int = 32
    sizes: tuple[int, ...] = (48, 96, 256)
    """examples to train on, to choose by and to report on"""
    flipped: float = 0.2
    batch_size: int = 8
    learning_rate: float = 0.02
    noise: float = 0.0
    """standard deviation of what is added to every gradient"""
    reset_every: int = 0
    patience: int = 4
    num_seeds: int = 3
    num_steps: int = 240
    log_every: int = 12
    evaluate_every: int = 24
    checkpoint_every: int = 48
    block_size: int | None = 4
    """of trial functions, which an experiment may have beside studies: they run as if it were not there"""


PRESETS = {"smoke": Config()}
REFERENCES = (
    Reference("resets: accuracy at the best state", "above 1/2 (derived)", {"smoke": (0.6, 0.85)}),
    Reference("resets: best less last validation loss", "<= 0 (by choice)", {"smoke": (None, 0.0)}),
)


class Split(NamedTuple):
    """Inputs [N, d] and labels [N] of one part."""

    x: jax.Array
    y: jax.Array


def gradient_noise(scale):
    """Adds N(0, scale^2) to every gradient; asks for `key` by name."""

    def update(updates, state, params=None, *, key, **others):
        leaves, tree = jax.tree.flatten(updates)
        keys = jax.random.split(key, len(leaves))
        noisy = [g + scale * jax.random.normal(k, g.shape) for g, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(tree, noisy), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def arms(config):
    """Without either mechanism, with noise, and with resets of the last layer."""
    return [
        Arm("plain", config),
        Arm("noise", dataclasses.replace(config, noise=0.1)),
        Arm("resets", dataclasses.replace(config, reset_every=24)),
    ]


def build(config):
    """Data, network, optimiser and choice of one trial."""

    def init(key, hparams):
        rule = jax.random.normal(stream(key, "rule"), (config.dim,))
        parts = []
        for name, size in zip(("train", "validate", "test"), config.sizes, strict=True):
            x = jax.random.normal(stream(key, name), (size, config.dim))
            flips = jax.random.bernoulli(stream(stream(key, name), "flips"), config.flipped, (size,))
            parts.append(Split(x, jnp.where(flips, -1.0, 1.0) * jnp.sign(x @ rule)))
        first = jax.random.normal(stream(key, "first"), (config.dim, config.width)) / config.dim**0.5
        return tuple(parts), {"first": first, "last": _last(config, key)}, None

    def sample(state, key):
        train = state.truth[0]
        index = epoch_indices(
            stream(state.key, "epochs"), state.step, num_examples=config.sizes[0], batch_size=config.batch_size
        )
        return Split(train.x[index], train.y[index])

    def margins(params, part):
        return part.y * (jnp.tanh(part.x @ params["first"]) @ params["last"])[:, 0]

    def loss(params, state, batch, key):
        return jax.nn.softplus(-margins(params, batch)), (None, {})

    def evaluate(state, key):
        _, validate, test = state.truth
        return {
            "validation": {"loss": jax.nn.softplus(-margins(state.params, validate)).mean()},
            "accuracy": (margins(state.params, test) > 0).mean(),
        }

    def reset(state, key):
        return dataclasses.replace(state, params={**state.params, "last": _last(config, key)})

    steps = range(config.reset_every, config.num_steps, config.reset_every) if config.reset_every else ()
    return gradient_study(
        init=init,
        sample=sample,
        loss=loss,
        evaluate=evaluate,
        optimizer=lambda hparams: optax.chain(gradient_noise(hparams["noise"]), optax.adam(hparams["learning_rate"])),
        events=[(step, lambda state, key: reset(state, key)) for step in steps],
        best=Best("validation/loss", "min", patience=config.patience),
        keep=lambda state, key: {"first layer": state.params["first"]},
    )


def _last(config, key):
    return 0.1 * jax.random.normal(stream(key, "last"), (config.width, 1))


def premises(config):
    """None."""
    return {}


def measure(config, results):
    """Accuracy on the third part at the state that the second part chose, and at the last one."""
    found = {}
    for arm, result in results.items():
        found[f"{arm}: accuracy at the best state"] = result.at_best("accuracy")
        found[f"{arm}: accuracy at the last state"] = result.final("accuracy")
        chosen, last = result.at_best("validation/loss"), result.final("validation/loss")
        found[f"{arm}: best less last validation loss"] = chosen - last
        found[f"{arm}: stopped at"] = np.asarray(result.stopped_at)
    return found


def figures(config, results):
    """Validation loss of every seed."""
    return [
        Figure(arm, figure_png(learning_curves(r.evaluation_steps, {arm: r.evaluation["validation/loss"]}, "loss")))
        for arm, r in results.items()
    ]
