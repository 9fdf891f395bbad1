"""A line is fitted: a stand-in for an experiment in tests of the command line.

Its `quick` preset asks for more than so short a run can reach.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from identax.assumptions.report import Prediction, Premise, Report
from identax.experiment import Arm, Reference, RunConfig
from identax.study import gradient_study

TRACED = ("learning_rate",)
TRACES = []  # one entry each time JAX traces the loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study."""

    dim: int = 3
    noise: Literal["none", "normal"] = "none"
    centred: bool = True
    scales: tuple[float, ...] = (1.0, 2.0, 3.0)
    learning_rate: float = 0.1
    num_steps: int = 12
    log_every: int = 4
    evaluate_every: int = 4
    checkpoint_every: int = 4
    num_seeds: int = 2


PRESETS = {"smoke": Config(), "quick": Config(num_seeds=3)}
REFERENCES = (
    Reference("first: error", "0 (derived)", {"smoke": (0.0, 100.0), "quick": (None, 1e-12)}),
    Reference("second: error", "0.5 (recollected)", recollected=True),
)


def arms(config):
    """Three arms that differ in a traced field only: one program."""
    rates = {"first": 1.0, "second": 0.5, "third": 0.25}
    return [
        Arm(name, dataclasses.replace(config, learning_rate=config.learning_rate * factor))
        for name, factor in rates.items()
    ]


def build(config):
    """Linear regression onto known scales."""
    if len(config.scales) != config.dim:
        raise ValueError(f"line: found {len(config.scales)} scales, wanted dim={config.dim}")

    def loss(params, state, batch, key):
        TRACES.append(config)
        return ((batch * (params["w"] - state.truth)[None, :]) ** 2).sum(axis=-1), (None, {})

    return gradient_study(
        init=lambda key, hparams: (jnp.array(config.scales), {"w": jax.random.normal(key, (config.dim,))}, None),
        sample=lambda state, key: jax.random.normal(key, (8, config.dim)),
        loss=loss,
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        evaluate=lambda state, key: {"error": jnp.abs(state.params["w"] - state.truth).max()},
    )


def premises(config):
    """Known only of the first arm."""
    return {"first": Report([Premise("centred", config.centred, "yes", "")], [Prediction("error", 0.0, "theory")])}


def measure(config, results):
    """Largest error of each arm that ran."""
    return {f"{arm}: error": result.final("error") for arm, result in results.items()}


def figures(config, results):
    """None."""
    return []
