"""Games of the CHIP-8 emulator octax 0.1.1 behind our protocol."""

import importlib
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from identax.dgp.environments.optional import required
from identax.dgp.environments.protocol import Environment, Timestep, as_timestep

CHIP8_GAMES = tuple(f"octax-{game}" for game in ("airplane", "blinky", "brix", "pong", "tetris", "ufo", "worm"))


def chip8_game(name: str, **options: Any) -> Environment:
    """A game of octax, about 40 instructions of the emulator a step: for GPUs rather than CPUs.

    Observations are float32 0 or 1 [32, 64, 4], rows, columns and the last frames, oldest first. Every episode of a
    game begins in the same state. Scores are registers of one byte: one that overflows pays a reward of -255.
    `options`: arguments of octax's constructor, such as `max_num_steps_per_episodes`.
    Raises `ValueError` without octax or the OpenCV that it needs. Source: Radji et al. 2025, octax.
    """
    required(name, "octax")
    required(name, "cv2")
    create = importlib.import_module("octax.environments").create_environment
    with jax.ensure_compile_time_eval(), _quiet():
        game = create(name.removeprefix("octax-"), **options)[0]
        first, frames, _ = game.reset(jax.random.key(0))
        like = jax.eval_shape(game.step, first, 0)[0]

    def seen(frames):
        return jnp.transpose(frames, (2, 1, 0)).astype(jnp.float32)

    def typed(state):
        return jax.tree.map(lambda leaf, wanted: jnp.asarray(leaf).astype(wanted.dtype), state, like)

    def reset(key, params):
        del params
        state, frames, _ = game.reset(key)
        return typed(state), seen(frames)

    def step(key, state, action, params) -> Timestep:
        del key, params
        with _quiet():
            state, frames, reward, terminated, truncated, _ = game.step(state, jnp.asarray(action, jnp.int32))
        return as_timestep(typed(state), seen(frames), reward, terminated, truncated, {})

    observation = jax.eval_shape(seen, frames)
    return Environment(
        name=name,
        num_actions=len(game.action_set) + 1,
        observation=jax.ShapeDtypeStruct(observation.shape, observation.dtype),
        params=(),
        reset=reset,
        step=step,
    )


def _quiet():
    """octax writes wider integers into bytes, of which JAX warns while it traces."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)
