"""Slowly-changing regression: backpropagation loses its plasticity; which operator on the weights keeps it?

Inputs of which most bits stand still for 10,000 steps, targets of a fixed random network, one example at a time
(Dohare et al., "Loss of plasticity in deep continual learning", 2024). Plain descent gets worse with every change of
the bits. Beside it: continual backpropagation, shrink-and-perturb, L2, ReDo, selective weight reinitialisation, Weights
Reset, and the two operators of Reizinger & Gyires-Toth (2019), reinitialising and shuffling weights.

    python -m experiments run wmm/slow_regression --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.wmm import plasticity
from experiments.wmm import slow_regression_claims as claims
from experiments.wmm.networks import relu_network
from identax.dgp import slow_regression
from identax.experiment import RunConfig
from identax.metrics import dormant_share, effective_rank, weight_magnitude
from identax.rng import stream
from identax.study import State, Study

TRACED = plasticity.TRACED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One learner. A step of the study is a block of examples, each followed by an update."""

    operator: str = plasticity.BACKPROP
    operators: tuple[str, ...] = (plasticity.BACKPROP, plasticity.CBP)
    """an arm each, which sets `operator`, `every` and `step_size`"""
    step_sizes: tuple[float, ...] = (0.01,)
    """of plain backpropagation; the operators have the first"""
    change: Literal["redraw", "flip"] = "redraw"
    """what a change of the slow bits is: "redraw" draws all (published figure), "flip" inverts one (published text)"""
    width: int = 5
    block: int = 1000
    """examples of a step; what acts rarely acts between blocks"""
    every: int = 1
    """updates between actions of the operator: 1, or a multiple of `block`"""
    statistics: int = 256
    """the last examples of a block, of which operators between blocks see activations and gradient"""
    step_size: float = 0.01
    weight_decay: float = 1e-2
    sigma: float = 1e-3
    rate: float = 1e-4
    maturity: int = 10
    """that of the published runs: the value in their configuration is never read"""
    mode: Literal["intended", "released"] = "released"
    p: float = 0.05
    """lower end of the published search"""
    c: float = 0.2
    tau: float = 0.1
    share: float = 1e-5
    unroll: int = 1
    """examples that the compiler writes out in the loop over a block"""
    num_seeds: int = 30
    num_steps: int = 1000
    log_every: int = 20
    evaluate_every: int = 200
    checkpoint_every: int = 200


PRESETS: dict[str, Config] = {
    "smoke": Config(
        operators=(plasticity.BACKPROP, plasticity.CBP, plasticity.REDO), block=20, statistics=8, num_seeds=2,
        num_steps=6, log_every=2, evaluate_every=6, checkpoint_every=6,
    ),
    "quick": Config(num_steps=250, log_every=10, evaluate_every=250, checkpoint_every=250),
    "medium": Config(operators=plasticity.OPERATORS),
    "paper": Config(step_sizes=(0.01, 0.003, 0.001), num_seeds=100),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """World, network, and its updates: one after each example, the operator after each or between blocks."""
    if config.every != 1 and config.every % config.block:
        raise ValueError(f"slow_regression: found every={config.every}, wanted 1 or a multiple of {config.block}")
    world, network = slow_regression(change=config.change), relu_network((20, config.width, 1))
    inside = config.every == 1

    def operator(hparams, key: Any = 0):
        options = {"c": config.c, "maturity": config.maturity, "mode": config.mode, "key": key}
        every = 1 if inside else config.every // config.block
        return plasticity.perturbation_of(config.operator, hparams, network.hidden, every=every, **options)

    def error(params, x, y):
        outputs, activations = network.apply(params, x)
        return jnp.mean((outputs[:, 0] - y) ** 2), activations

    def init(key, hparams):
        params = network.init(stream(key, "network"))
        acts = operator(hparams, stream(key, "operator"))
        held = plasticity.descent(config.operator, hparams).init(params), acts and acts.init(params)
        return State(jnp.zeros((), jnp.int32), key, world.init(stream(key, "world")), params, None, held, hparams)

    def examples(state):
        return world.sample(state.truth, stream(state.key, "data"), state.step * config.block, config.block)

    def step(state, batch):
        optimizer, acts = plasticity.descent(config.operator, state.hparams), operator(state.hparams)
        x, y = examples(state)

        def learn(held, example):
            params, opt_state, own = held
            x, y = example
            (value, activations), grad = jax.value_and_grad(error, has_aux=True)(params, x[None], y[None])
            updates, opt_state = optimizer.update(grad, opt_state, params)
            params = optax.apply_updates(params, updates)
            if acts is not None and inside:
                params, own, _ = acts.apply(params, own, activations=activations, grad=grad)
            return (params, opt_state, own), value

        start = (state.params, *state.opt_state)
        (params, opt_state, own), errors = jax.lax.scan(learn, start, (x, y), unroll=config.unroll)
        if acts is not None and not inside:
            recent = x[-config.statistics :], y[-config.statistics :]
            (_, activations), grad = jax.value_and_grad(error, has_aux=True)(params, *recent)
            params, own, _ = acts.apply(params, own, activations=activations, grad=grad)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=(opt_state, own))
        return state, {"loss": errors.mean()}

    def evaluate(state, key):
        x, _ = examples(state)  # of the block to come
        _, activations = network.apply(state.params, x)
        hidden = activations["layer1"]
        return {
            "silent activations": jnp.mean(hidden == 0),
            "dead units": dormant_share(hidden),
            "effective rank": effective_rank(hidden),
            "weight magnitude": weight_magnitude(state.params),
        }

    return Study(init, step, evaluate)
