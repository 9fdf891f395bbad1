"""The published training itself: clipped SGD on mini-batches, and how far from its own optimum 4,000 epochs end.

Rajendran et al. 2024: batches of 64, rate 1e-3, gradient norm clipped at 0.5 (motor: 8, 1e-2, 50 epochs). One step of
a trial here is one epoch. Systems, environments and starts are those of the five published seeds (`authors.py`); the
controls and the orders of the pairs are drawn anew.

    python -m experiments run lti/published_training --preset quick
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from experiments.lti import authors
from experiments.lti import published_training_claims as claims
from experiments.lti.worlds import draw_motor, draw_world, flat_pairs, theirs_or_ours
from identax.experiment import RunConfig
from identax.lti.moments import pair_moments, published_value
from identax.lti.published import decay_limit, wls_of_moments
from identax.lti.sgd import orthonormal_rows, published_epoch
from identax.metrics import batch_mcc, epoch_mcc, mcc
from identax.rng import step_key, stream
from identax.study import State, Study

FLOAT64 = True
"""with zero means W shrinks below the smallest float32 number"""
TRACED = ("use_B", "use_C", "zero_means", "author", "noise_sd", "learning_rate", "max_norm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """The defaults are the paper's setting at d = 2."""

    parts: tuple[Literal["random", "maximal", "maximal 28k", "motor"], ...] = (
        "random",
        "maximal",
        "maximal 28k",
        "motor",
    )
    """which arms: random or maximal variances, the latter also with the authors' 28,000 samples; the DC motor"""
    plant: Literal["random", "motor"] = "random"
    """of one arm"""
    dim: int = 2
    design: Literal["random", "maximal"] = "random"
    num_environments: int = 0
    """0: dim + 1"""
    num_samples: int = 12_000
    """observations per environment"""
    stride: int = 2
    dt: float = 0.01
    """sampling interval of the motor, seconds"""
    noise_sd: float = 0.0
    use_B: float = 1.0
    """0: B = I"""
    use_C: float = 1.0
    """0: C = I"""
    zero_means: float = 0.0
    """1: the controls have zero mean in all environments"""
    author: float = 0.0
    """0 to 4: system, environments and start of that one of the five published seeds; -1: random ones"""
    batch_size: int = 64
    learning_rate: float = 1e-3
    max_norm: float = 0.5
    """of the gradient, over all rows"""
    num_batches: int = 64
    """that the MCC of a training batch is averaged over"""
    num_steps: int = 4000
    """epochs"""
    motor_steps: int = 50
    log_every: int = 50
    evaluate_every: int = 1000
    checkpoint_every: int = 2000
    num_seeds: int = 1
    """of controls and orders, for each of the five systems"""


PRESETS: dict[str, Config] = {
    "smoke": Config(num_samples=200, num_steps=4, motor_steps=2, log_every=2, evaluate_every=4, checkpoint_every=4),
    "quick": Config(parts=("motor",)),
    "medium": Config(),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """One world per trial; a step is one epoch of the published training."""
    draw = draw_motor if config.plant == "motor" else draw_world

    def init(key, hparams):
        world = draw(key, config, hparams)
        dim, width = config.dim, 2 * world.pairs.shape[-1]
        unmixing = orthonormal_rows(stream(key, "unmixing"), dim, width)
        if width == 4:
            unmixing = theirs_or_ours(hparams["author"], authors.starts(dim), unmixing)
        truth = {"world": world, "moments": pair_moments(world.pairs)}
        return State(jnp.zeros((), jnp.int32), key, truth, unmixing, None, None, hparams)

    def step(state, batch):
        del batch
        world, hparams = state.truth["world"], state.hparams
        environments = world.environments
        unmixing = published_epoch(
            stream(step_key(state.key, state.step), "order"),
            state.params,
            *flat_pairs(world),
            batch_size=config.batch_size,
            learning_rate=hparams["learning_rate"],
            max_norm=hparams["max_norm"],
        )
        value = published_value(unmixing, state.truth["moments"], environments.means, environments.variances)
        return dataclasses.replace(state, step=state.step + 1, params=unmixing), {"loss": -value}

    def evaluate(state, key):
        world, moments = state.truth["world"], state.truth["moments"]
        means, variances = world.environments.means, world.environments.variances
        found = _scores(stream(key, "batches"), world, state.params, config)
        found["norm of W"] = jnp.sqrt(jnp.sum(state.params**2))
        if config.plant == "motor":  # noise-free, so that its moments are singular: the optimum is not unique
            return found
        zero = state.hparams["zero_means"] > 0
        optimum = jnp.where(zero, decay_limit(moments, variances), wls_of_moments(moments, means, variances))
        at_optimum = _scores(stream(key, "batches"), world, optimum, config)
        found |= {f"optimum: {name}": value for name, value in at_optimum.items()}
        found["val MCC above the optimum's"] = found["val MCC"] - at_optimum["val MCC"]
        best = published_value(jnp.where(zero, 0.0, optimum), moments, means, variances)
        found["objective below its optimum"] = best - published_value(state.params, moments, means, variances)
        return found

    return Study(init, step, evaluate)


def _scores(key, world, unmixing, config: Config) -> dict:
    """MCC in random training batches, in consecutive ("validation") ones, and over all pairs."""
    # Any scale of a row has the same MCC, but the square of 1e-200 is 0.
    unmixing = unmixing / jnp.max(jnp.abs(unmixing), axis=1, keepdims=True)
    found = (world.pairs.reshape(*world.pairs.shape[:2], -1) @ unmixing.T).reshape(-1, config.dim)
    controls = world.controls.reshape(-1, config.dim)
    return {
        "train MCC": batch_mcc(key, controls, found, config.batch_size, num_batches=config.num_batches),
        "val MCC": epoch_mcc(controls, found, config.batch_size),
        "MCC": mcc(controls, found),
    }
