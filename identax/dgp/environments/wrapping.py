"""What every wrapper does alike: a state around the inner one, and episodes that begin after a reset or an end."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.dgp.environments.protocol import Environment, begin_next
from identax.rng import stream


def wrapped(environment: Environment, *, begin: Callable, step: Callable, **changes: Any) -> Environment:
    """`environment` with another step and other beginnings; its states have the field `inner`.

    * `begin(start, key, state, params) -> (state, observation)`: what makes the first state and observation of an
      episode out of `start(key) -> (inner state, observation)`; `state` is the one in which the last episode ended,
      None before the first
    * `step(key, state, action, params) -> Timestep`
    * `changes`: fields of the environment that differ
    """

    def reset(key, params):
        return begin(lambda key: environment.reset(key, params), key, None, params)

    def restart(key, state, params):
        return begin(lambda key: begin_next(environment, key, state.inner, params), key, state, params)

    return dataclasses.replace(environment, reset=reset, restart=restart, step=step, **changes)


class Over(NamedTuple):
    """The state of a wrapper that must know whether the episode has ended."""

    inner: Any
    over: Any


def acted_out(
    environment: Environment,
    count: Callable[[Any], Any],
    action: Callable[[Any], Any],
) -> Environment:
    """Plays `count(key)` actions at the beginning of each episode, before the agent sees it: number i is `action(i)`.

    Where the game ends on the way it begins again, without what was played. Resets are computed at every step of a
    batch: nothing is played for the environments that go on.
    """

    def begin(start, key, state, params):
        inner, observation = start(stream(key, "start"))
        num = count(stream(key, "count"))
        # The state of an episode that goes on asks for nothing, or a batch would play for all whenever one ends.
        num = num if state is None else jnp.where(state.over, num, 0)

        def play(carry):
            done, inner, observation = carry
            step_key = jax.random.fold_in(stream(key, "play"), done)
            found = environment.step(stream(step_key, "step"), inner, action(done), params)
            ended = found.terminated | found.truncated
            again = environment.reset(stream(step_key, "again"), params)
            after = found.state, found.observation
            inner, observation = jax.tree.map(lambda new, old: jax.lax.select(ended, new, old), again, after)
            return done + 1, inner, observation

        first = jnp.zeros((), jnp.int32), inner, observation
        _, inner, observation = jax.lax.while_loop(lambda carry: carry[0] < num, play, first)
        return Over(inner, jnp.zeros((), bool)), observation

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        return found._replace(state=Over(found.state, found.terminated | found.truncated))

    return wrapped(environment, begin=begin, step=step)
