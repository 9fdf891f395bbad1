"""Games of gymnax 1.0.1 behind our protocol: MinAtar's, DeepSea, FourRooms, Pong and small classics."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from identax.checks import check_count
from identax.dgp.environments.optional import required
from identax.dgp.environments.protocol import Environment, Timestep, as_timestep
from identax.rng import stream

ACTIONS = {
    "Breakout-MinAtar": ("no-op", "left", "right"),
    "Asterix-MinAtar": ("no-op", "left", "up", "right", "down"),
    "SpaceInvaders-MinAtar": ("no-op", "left", "right", "fire"),
    "Freeway-MinAtar": ("no-op", "up", "down"),
    "Seaquest-MinAtar": ("no-op", "left", "up", "right", "down", "fire"),
    "DeepSea-bsuite": (),
    "FourRooms-misc": ("up", "right", "down", "left"),
    "Pong-misc": ("no-op", "up", "down"),
    "Catch-bsuite": ("left", "no-op", "right"),
    "CartPole-v1": ("left", "right"),
}
"""game -> names of its actions, as far as they have any"""
_WALLED = 13
"""length of the sides of FourRooms, walls included"""


def gymnax_game(name: str, **options: Any) -> Environment:
    """A game of gymnax: its own step and time limit, without its resets.

    What gymnax calls truncated in the step that terminates is terminated alone. `info["cell"]` numbers the states of
    DeepSea, row * size + column with row = size at the end, and of FourRooms, row * 13 + column.

    `options`: fields of the game's parameters (`max_steps_in_episode`, `resample_goal_pos`) or arguments of its
    constructor (DeepSea's `size`; its `action_mapping_key` as an integer).
    Raises `ValueError` without gymnax, for options that the game has not and for sizes and limits < 1.
    Source: Lange 2022, gymnax.
    """
    gymnax = required(name, "gymnax")
    with jax.ensure_compile_time_eval():
        game, defaults = _made(gymnax, name, options)
        params = jax.tree.map(jnp.asarray, defaults)
        action = jnp.zeros((), jnp.int32)
    cell, num_states = _cells(name, game)

    def step_env(key, state, action, params):
        observation, state, reward, terminated, _ = game.step_env(key, state, action, params)
        return observation, state, reward, terminated

    def begun(key, params):
        return game.reset_env(key, params)

    def first_step(key):
        _, state = begun(stream(key, "reset"), params)
        return step_env(stream(key, "step"), jax.tree.map(jnp.asarray, state), action, params)

    single, state_like, *_ = jax.eval_shape(first_step, jax.random.key(0))

    def typed(observation, state):
        """In the types of a step: gymnax begins with Python's numbers, whose types are others."""
        return _as(state, state_like), jnp.asarray(observation, single.dtype)

    def reset(key, params):
        return typed(*begun(key, params))

    def step(key, state, action, params) -> Timestep:
        observation, state, reward, terminated = step_env(key, state, jnp.asarray(action, jnp.int32), params)
        truncated = game.is_truncated(state, params)
        info = {} if cell is None else {"cell": cell(state)}
        return as_timestep(*typed(observation, state), reward, terminated, truncated, info)

    return Environment(
        name=name,
        num_actions=int(game.num_actions),
        observation=jax.ShapeDtypeStruct(single.shape, single.dtype),
        params=params,
        reset=reset,
        step=step,
        actions=ACTIONS[name],
        num_states=num_states,
    )


def _made(gymnax: Any, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The game and its parameters with the options among them."""
    factory = type(gymnax.make(name)[0])
    arguments = set(inspect.signature(factory.__init__).parameters) - {"self"}
    fields = {field.name for field in dataclasses.fields(gymnax.make(name)[1])}
    unknown = sorted(set(options) - arguments - fields)
    if unknown:
        raise ValueError(f"environment {name}: found options {unknown}, wanted any of {sorted(arguments | fields)}")
    for option in ("size", "max_steps_in_episode"):
        if option in options:
            check_count(f"environment {name}", option, options[option])
    given = {option: value for option, value in options.items() if option in arguments}
    if "action_mapping_key" in given:
        given["action_mapping_key"] = jax.random.key(given["action_mapping_key"])
    game, params = gymnax.make(name, **given)
    return game, params.replace(**{option: value for option, value in options.items() if option in fields})


def _cells(name: str, game: Any) -> tuple[Callable | None, int | None]:
    """The number of a state, and how many there are, where they are discrete and few."""
    if name == "DeepSea-bsuite":
        size = game.size
        return lambda state: jnp.asarray(state.row * size + state.column, jnp.int32), (size + 1) * size
    if name == "FourRooms-misc":
        return lambda state: jnp.asarray(state.pos[0] * _WALLED + state.pos[1], jnp.int32), _WALLED**2
    return None, None


def _as(tree: Any, like: Any) -> Any:
    return jax.tree.map(lambda leaf, wanted: jnp.asarray(leaf).astype(wanted.dtype), tree, like)
