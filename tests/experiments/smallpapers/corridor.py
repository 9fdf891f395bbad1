"""A recurrent actor-critic learns to walk a corridor: a study with a state of its own, and returns of episodes.

A stand-in for a paper on reinforcement learning: environments, memory and unfinished episodes are part of the state.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.rng import step_key, stream
from identax.study import Study

TRACED = ("learning_rate", "step_cost")


@dataclasses.dataclass(frozen=True)
class Config:
    """A corridor of `length` cells with a reward of 1 at its end; an episode is cut after `limit` moves."""

    length: int = 4
    limit: int = 12
    num_envs: int = 8
    rollout: int = 6
    memory: int = 4
    learning_rate: float = 0.05
    step_cost: float = 0.02
    num_steps: int = 60
    log_every: int = 10
    evaluate_every: int = 30
    checkpoint_every: int = 30
    num_seeds: int = 2
    seed: int = 0


PRESETS = {"smoke": Config()}
REFERENCES = (Reference("a2c: return", "above that of chance (derived)", {"smoke": (0.5, 1.0)}),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AgentState:
    """What an agent carries from step to step: where its environments are, what it remembers, what it earned."""

    step: Any
    key: Any
    params: Any
    opt_state: Any
    hparams: Any
    place: Any
    moves: Any
    earned: Any
    memory: Any


def arms(config):
    """One agent that learns and one that does not."""
    return [Arm("a2c", config), Arm("chance", dataclasses.replace(config, learning_rate=0.0))]


def build(config):
    """Environments, memory, agent and loss in one step."""
    optimizer = optax.scale_by_adam()

    def init(key, hparams):
        sizes = {"in": (config.length, config.memory), "hidden": (config.memory,) * 2, "out": (config.memory, 3)}
        params = {name: 0.5 * jax.random.normal(stream(key, name), shape) for name, shape in sizes.items()}
        zeros = jnp.zeros(config.num_envs)
        memory = jnp.zeros((config.num_envs, config.memory))
        place = jnp.zeros(config.num_envs, int)
        step = jnp.zeros((), jnp.int32)
        return AgentState(step, key, params, optimizer.init(params), hparams, place, place, zeros, memory)

    def act(params, place, memory):
        memory = jnp.tanh(params["in"][place] + memory @ params["hidden"])
        out = memory @ params["out"]
        return out[:, :2], out[:, 2], memory

    def walk(params, state, key):
        def move(carry, key):
            place, moves, earned, memory = carry
            logits, value, memory = act(params, place, memory)
            action = jax.random.categorical(key, logits)
            new = jnp.clip(place + 2 * action - 1, 0, config.length - 1)
            there = new == config.length - 1
            reward = there - state.hparams["step_cost"]
            done = there | (moves + 1 >= config.limit)
            earned = earned + reward
            ended = (jnp.where(done, earned, 0.0), done.astype(float))
            carry = (*(jnp.where(done, 0, x) for x in (new, moves + 1, earned)), jnp.where(done[:, None], 0.0, memory))
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]
            return carry, (reward, done, value, chosen, ended, place)

        start = state.place, state.moves, state.earned, state.memory
        return jax.lax.scan(move, start, jax.random.split(key, config.rollout))

    def step(state, batch):
        key = stream(step_key(state.key, state.step), "rollout")

        def loss(params):
            carry, (reward, done, value, chosen, ended, _) = walk(params, state, key)
            last = act(params, carry[0], carry[3])[1]

            def back(follow, now):
                reward, done = now
                follow = reward + 0.9 * jnp.where(done, 0.0, follow)
                return follow, follow

            _, returns = jax.lax.scan(back, jax.lax.stop_gradient(last), (reward, done), reverse=True)
            gain = returns - value
            return (jnp.square(gain) / 2 - jax.lax.stop_gradient(gain) * chosen).mean(), (carry, ended)

        (value, (carry, ended)), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state)
        rate = state.hparams["learning_rate"]
        params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
        place, moves, earned, memory = jax.lax.stop_gradient(carry)
        state = AgentState(state.step + 1, state.key, params, opt_state, state.hparams, place, moves, earned, memory)
        return state, {"loss": value, "episode": {"return": (ended[0].sum(), ended[1].sum())}}

    def evaluate(state, key):
        # From the present places on, so that a resumed agent must have kept them.
        many = [walk(state.params, state, jax.random.fold_in(key, number))[1][4] for number in range(4)]
        total, count = (sum(part.sum() for part in parts) for parts in zip(*many, strict=True))
        return {"return": (total, count)}

    def keep(state, key):
        return {"places": walk(state.params, state, key)[1][5]}

    return Study(init, step, evaluate, keep=keep, keep_at=(0, config.num_steps))


def premises(config):
    """None."""
    return {}


def measure(config, results):
    """Mean return of the episodes that ended in the last chunk of training."""
    return {f"{arm}: return": result.train["episode/return"][:, -1] for arm, result in results.items()}


def figures(config, results):
    """Returns over training; the mean place at the end, from what was kept."""
    steps = next(iter(results.values())).train_steps
    curves = {arm: result.train["episode/return"] for arm, result in results.items()}
    places = {arm: float(np.mean(result.kept("places"))) for arm, result in results.items()}
    return [Figure(f"Returns. Mean places: {places}.", figure_png(learning_curves(steps, curves, "return")))]
