"""What stands between agent and game: sticky actions, clipped or delayed rewards, time limits."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.checks import check_between, check_count
from identax.dgp.environments.protocol import Environment, as_timestep, check_single
from identax.dgp.environments.wrapping import wrapped
from identax.rng import stream


class Sticky(NamedTuple):
    """The inner state and the action that was played last."""

    inner: Any
    action: Any


class Timed(NamedTuple):
    """The inner state and the steps since the episode began."""

    inner: Any
    time: Any


class Owed(NamedTuple):
    """The inner state and the rewards of the episode that are not paid yet."""

    inner: Any
    reward: Any


def sticky_actions(environment: Environment, probability: float | int = 0.25) -> Environment:
    """Plays the last action once more, instead of the agent's, with that probability at each step; action 0 at first.

    Raises `ValueError` for a probability outside [0, 1]. Source: Machado et al. 2018.
    """
    check_single("sticky_actions", environment)
    check_between("sticky_actions", "probability", probability, 0, 1, shape=())

    def begin(start, key, state, params):
        inner, observation = start(key)
        return Sticky(inner, jnp.zeros((), jnp.int32)), observation

    def step(key, state, action, params):
        sticks = jax.random.bernoulli(stream(key, "sticky"), jnp.asarray(probability, float))
        played = jnp.where(sticks, state.action, jnp.asarray(action, jnp.int32))
        found = environment.step(stream(key, "world"), state.inner, played, params)
        return found._replace(state=Sticky(found.state, played))

    return wrapped(environment, begin=begin, step=step)


def time_limit(environment: Environment, steps: int) -> Environment:
    """Truncates an episode after so many steps, unless its last one terminates it.

    Raises `ValueError` for steps < 1. Source: Pardo et al. 2018.
    """
    check_single("time_limit", environment)
    check_count("time_limit", "steps", steps)

    def begin(start, key, state, params):
        inner, observation = start(key)
        return Timed(inner, jnp.zeros((), jnp.int32)), observation

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        time = state.time + 1
        return as_timestep(*found._replace(state=Timed(found.state, time), truncated=found.truncated | (time >= steps)))

    return wrapped(environment, begin=begin, step=step)


def clip_rewards(environment: Environment) -> Environment:
    """Rewards by their sign, -1, 0 or 1; `info["raw_reward"]` keeps what the game paid.

    Source: Mnih et al. 2015; by sign, not by clipping to [-1, 1], in Reizinger & Szemenyei 2020's code.
    """
    check_single("clip_rewards", environment)

    def step(key, state, action, params):
        found = environment.step(key, state, action, params)
        return found._replace(reward=jnp.sign(found.reward), info={"raw_reward": found.reward, **found.info})

    return dataclasses.replace(environment, step=step)


def delayed_reward(environment: Environment) -> Environment:
    """Pays the sum of an episode's rewards in its last step and nothing before: a sparse control of a dense game.

    `info["raw_reward"]` keeps what the game paid in each step. Under a time limit, wrap that first: what is owed when
    an outer wrapper ends the episode is lost.
    """
    check_single("delayed_reward", environment)

    def begin(start, key, state, params):
        inner, observation = start(key)
        return Owed(inner, jnp.zeros((), jnp.float32)), observation

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        owed = state.reward + found.reward
        paid = jax.lax.select(found.terminated | found.truncated, owed, jnp.zeros_like(owed))
        info = {"raw_reward": found.reward, **found.info}
        return found._replace(state=Owed(found.state, owed), reward=paid, info=info)

    return wrapped(environment, begin=begin, step=step)
