"""What every wrapper does alike: a state around the inner one, and episodes that begin after a reset or an end."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.dgp.environments.protocol import Environment, begin_next, lost_game
from identax.rng import stream


def wrapped(environment: Environment, *, begin: Callable, step: Callable, **changes: Any) -> Environment:
    """`environment` with another step and other beginnings; its states have the field `inner`.

    * `begin(start, key, state, params) -> (state, observation)`: what makes the first state and observation of an
      episode out of `start(key, wanted=True) -> (inner state, observation)`, `wanted` being whether these are used;
      `state` is the one in which the last episode ended, None before the first
    * `step(key, state, action, params) -> Timestep`
    * `changes`: fields of the environment that differ
    """

    def reset(key, params):
        return begin(lambda key, wanted=True: environment.reset(key, params), key, None, params)

    def restart(key, state, params, ended):
        def start(key, wanted=True):
            return begin_next(environment, key, state.inner, params, ended & wanted)

        return begin(start, key, state, params)

    if environment.lost_game is not None:
        changes = {"lost_game": lambda state: lost_game(environment, state.inner), **changes}
    return dataclasses.replace(environment, reset=reset, restart=restart, step=step, **changes)


class Begun(NamedTuple):
    """The inner state, and whether a game ended while the episode was begun."""

    inner: Any
    lost: Any


def acted_out(
    environment: Environment,
    count: Callable[[Any], Any],
    action: Callable[[Any], Any],
) -> Environment:
    """Plays `count(key)` actions at the beginning of each episode, before the agent sees it: number i is `action(i)`.

    Where an episode ends on the way, by a lost life perhaps, the next one follows, and what is left is played there.
    Resets are computed at every step of a batch: nothing is played for the environments that go on.
    """

    def begin(begun, key, wanted, params):
        num = jnp.where(wanted, count(stream(key, "count")), 0)

        def play(carry):
            done, inner, observation, lost = carry
            step_key = jax.random.fold_in(stream(key, "play"), done)
            found = environment.step(stream(step_key, "step"), inner, action(done), params)
            ended = found.terminated | found.truncated
            again = begin_next(environment, stream(step_key, "again"), found.state, params, ended)
            lost = lost | found.info.get("game_over", ended) | (ended & lost_game(environment, again[0]))
            after = found.state, found.observation
            inner, observation = jax.tree.map(lambda new, old: jax.lax.select(ended, new, old), again, after)
            return done + 1, inner, observation, lost

        first = jnp.zeros((), jnp.int32), *begun, lost_game(environment, begun[0])
        _, inner, observation, lost = jax.lax.while_loop(lambda carry: carry[0] < num, play, first)
        return Begun(inner, lost), observation

    def reset(key, params):
        return begin(environment.reset(stream(key, "start"), params), key, True, params)

    def restart(key, state, params, ended):
        begun = begin_next(environment, stream(key, "start"), state.inner, params, ended)
        return begin(begun, key, ended, params)

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        return found._replace(state=Begun(found.state, jnp.zeros((), bool)))

    return dataclasses.replace(environment, reset=reset, restart=restart, step=step, lost_game=lambda state: state.lost)
