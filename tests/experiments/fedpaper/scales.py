"""A line is fitted to numbers that a loader yields: a stand-in for an experiment on a data set."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.assumptions.report import Premise, Report
from identax.data import epoch_batches
from identax.experiment import Arm, RunConfig
from identax.study import gradient_study

TRACED = ("learning_rate",)
REFERENCES = ()
REPORTED = []  # arms whose premises were worked out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study."""

    source: str = "numbers"
    fed: bool = True
    learning_rate: float = 0.1
    num_steps: int = 16
    log_every: int = 4
    evaluate_every: int = 8
    checkpoint_every: int = 4
    num_seeds: int = 2


PRESETS = {"smoke": Config()}


def arms(config):
    """One arm that a loader feeds and one that samples for itself."""
    return [Arm("fed", config), Arm("sampled", dataclasses.replace(config, fed=False))]


def build(config):
    """Regression onto the identity; each trial adds noise of its own to the batch that all see."""

    def loss(params, state, batch, key):
        x = batch + 0.1 * jax.random.normal(key, batch.shape)
        return ((x * (params["w"] - 1.0)) ** 2).sum(axis=-1), (None, {"first": batch[0, 0], "noisy": x[0, 0]})

    return gradient_study(
        init=lambda key, hparams: (None, {"w": jax.random.normal(key, ())}, None),
        sample=None if config.fed else lambda state, key: jax.random.normal(key, (4, 1)),
        loss=loss,
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        evaluate=lambda state, key: {"error": jnp.abs(state.params["w"] - 1.0)},
    )


def batches(config, shard):
    """Ten numbers, so that three epochs of two batches and more pass."""
    if config.source != "numbers":
        raise ValueError(f"{config.source}: found nothing prepared; run: make it")
    if not config.fed:
        return None
    return epoch_batches(np.linspace(0, 1, 10, dtype=np.float32)[:, None], batch_size=4, seed=config.seed, shard=shard)


def premises(config):
    """Worked out only for arms that run."""

    def of(arm):
        REPORTED.append(arm)
        return Report([Premise("numbers", True, "yes", "")], [])

    return {arm: lambda arm=arm: of(arm) for arm in ("fed", "sampled")}


def measure(config, results):
    """Largest error of each arm."""
    return {f"{arm}: error": result.final("error") for arm, result in results.items()}


def figures(config, results):
    """None."""
    return []
