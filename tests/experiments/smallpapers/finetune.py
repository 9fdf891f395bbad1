"""A network is trained on one task and then fine-tuned on another: two phases, and a sweep over the second.

A stand-in for a paper that fine-tunes: batch size, schedule, optimiser and kind of state differ between the phases.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from identax.experiment import Arm, Reference
from identax.rng import stream
from identax.study import Best, Study, gradient_study

TRACED = ("learning_rate", "shift")


@dataclasses.dataclass(frozen=True)
class Config:
    """Regression onto a random linear map; fine-tuning onto the same map moved by `shift`."""

    phase: Literal["pretrain", "finetune", "scratch"] = "pretrain"
    dim: int = 3
    batch_size: int = 32
    learning_rate: float = 0.1
    shift: float = 0.5
    num_steps: int = 80
    finetune_steps: int = 8
    log_every: int = 4
    evaluate_every: int = 4
    checkpoint_every: int = 4
    num_seeds: int = 2
    seed: int = 0


PRESETS = {"smoke": Config()}
REFERENCES = (
    Reference("pretrain: error", "0 (derived)", {"smoke": (None, 0.05)}),
    Reference("finetune: error less scratch", "below 0: what was learned before helps", {"smoke": (None, 0.0)}),
)


def arms(config):
    """Pre-training once; fine-tuning of its best and of its last state at three rates; the same from scratch."""
    late = dataclasses.replace(config, num_steps=config.finetune_steps, batch_size=8)
    rates = {"learning_rate": (0.02, 0.05, 0.1)}
    finetune = dataclasses.replace(late, phase="finetune")
    return [
        Arm("pretrain", config, fixed=("shift",)),
        Arm("finetune", finetune, rates, after="pretrain"),
        Arm("finetune best", finetune, after="pretrain", after_state="best"),
        Arm("scratch", dataclasses.replace(late, phase="scratch"), rates),
    ]


def build(config) -> Study:
    """The study of a phase."""
    later = config.phase != "pretrain"

    def sample(state, key):
        x = jax.random.normal(key, (config.batch_size, config.dim))
        moved = state.truth + (state.hparams["shift"] if later else 0.0)
        return x, x @ moved.T

    def init(key, hparams, *before):
        truth = jax.random.normal(stream(key, "truth"), (config.dim, config.dim))
        if config.phase == "finetune":
            return truth, {"head": before[0].params["w"]}, ()  # parameters of another name
        return truth, {"head" if later else "w": jnp.zeros((config.dim, config.dim))}, None

    def loss(params, state, batch, key):
        x, y = batch
        (weights,) = jax.tree.leaves(params)
        return jnp.square(x @ weights.T - y).sum(axis=1), (state.model_state, {})

    def evaluate(state, key):
        (weights,) = jax.tree.leaves(state.params)
        return {"error": jnp.abs(weights - state.truth - (state.hparams["shift"] if later else 0.0)).max()}

    def optimizer(hparams):
        return (optax.sgd if later else optax.adam)(hparams["learning_rate"])

    best = None if later else Best("error", "min")
    return gradient_study(init=init, loss=loss, optimizer=optimizer, evaluate=evaluate, sample=sample, best=best)


def premises(config):
    """None."""
    return {}


def measure(config, results):
    """Final errors per trial, and fine-tuning against the same steps from scratch."""
    found = {f"{arm}: error": result.final("error") for arm, result in results.items()}
    if {"finetune", "scratch"} <= results.keys():
        found["finetune: error less scratch"] = found["finetune: error"] - found["scratch: error"]
    return found


def figures(config, results):
    """None."""
    return []
