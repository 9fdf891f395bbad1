"""Agents: steps a second of A2C with policy, update and environment, against eager PyTorch on the network alone."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Measurement, compiled, in_turn, result, wait
from identax.agents import Choices, agent_study, policy_network
from identax.dgp.environments import Environment, Timestep, environment
from identax.models import small_image_encoder

DRAWN, IN_ORDER = "drawn frames", "identax, one seed after the other"
_FRAME, _ACTIONS = (10, 10, 4), 3


class _Drawn(NamedTuple):
    first: Any
    time: Any


def drawn_frames(episode: int = 50) -> Environment:
    """Frames of MinAtar's size out of a drawn table, for a machine without its games: nothing to learn, nearly free."""
    table = jnp.asarray(np.random.default_rng(0).random((64, *_FRAME)) < 0.05, jnp.float32)

    def seen(state):
        return table[(state.first + state.time) % len(table)]

    def reset(key, params):
        del params
        state = _Drawn(jax.random.randint(key, (), 0, len(table)), jnp.int32(0))
        return state, seen(state)

    def step(key, state, action, params):
        del key, params
        state = _Drawn(state.first, state.time + 1)
        reward = jnp.where(action == 0, 1.0, 0.0)
        return Timestep(state, seen(state), reward, state.time >= episode, jnp.zeros((), bool), {})

    return Environment(DRAWN, _ACTIONS, jax.ShapeDtypeStruct(_FRAME, jnp.float32), (), reset, step)


def steps(
    *,
    game: str,
    memory: str,
    units: int,
    num_environments: int,
    num_seeds: int,
    rollout_length: int,
    num_updates: int,
    rounds: int,
    torch: bool = True,
) -> dict[str, Any]:
    """Updates of A2C, `num_seeds` agents in one program; a unit is one step of one agent in one environment.

    Several seeds are timed as one batch and, as with `--trial-map map`, one after the other.

    PyTorch has no environment: its frames are there already, and it takes the same rollout, losses, clipping and Adam
    step of one agent. All seconds are the processor's. Derived: steps a second of both, `speedup`, and `share in matrix
    products`, the time that the products of one step would take at the rate of one large product, over that of a step.
    """
    world = drawn_frames() if game == DRAWN else environment(game)
    network = policy_network(world.num_actions, small_image_encoder(units), memory=memory, units=units)
    choices = Choices(rollout_length=rollout_length, truncation="ends", reward="sign")
    study = agent_study(world, network, num_environments=num_environments, choices=choices)
    states = jax.jit(jax.vmap(lambda key: study.init(key, {})))(jax.random.split(jax.random.key(0), num_seeds))

    def one(state):
        return jax.lax.scan(lambda state, _: study.step(state, None), state, None, length=num_updates)

    program, seconds = compiled(jax.vmap(one), states)
    per_call = num_updates * rollout_length * num_environments
    runs: dict[str, Callable[[], Any]] = {"identax": partial(_run, program, states)}
    units_of, compile_seconds = {"identax": per_call * num_seeds}, {"identax": seconds}
    if num_seeds > 1:
        mapped, compile_seconds[IN_ORDER] = compiled(partial(jax.lax.map, one), states)
        runs[IN_ORDER], units_of[IN_ORDER] = partial(_run, mapped, states), per_call * num_seeds
    side, times = 1024, 20
    square = jnp.ones((side, side))
    product = jax.jit(lambda x: x @ x)
    runs["products"] = lambda: [_run(product, square) for _ in range(times)]
    units_of["products"] = times * side**3
    if torch:
        from benchmarks.agents_torch import Learner

        learner = Learner(
            world.num_actions, frame=_FRAME, memory=memory == "lstm", units=units, num=num_environments,
            rollout_length=rollout_length,
        )  # fmt: skip
        runs["torch"], units_of["torch"] = partial(learner.updates, num_updates), per_call
    seconds_of = in_turn(runs, rounds=rounds, units=units_of, clock=time.process_time)
    timings = {name: Measurement.of(values) for name, values in seconds_of.items()}
    derived = {f"{name}: steps/s": 1 / timings[name].median for name in runs if name != "products"}
    ideal = products_of(memory, units, world.num_actions, rollout_length) * timings["products"].median
    derived["share in matrix products"] = ideal / timings["identax"].median
    if torch:
        derived["speedup"] = timings["torch"].median / timings["identax"].median
        if num_seeds > 1:
            derived[f"speedup, {IN_ORDER}"] = timings["torch"].median / timings[IN_ORDER].median
    settings = {
        "game": game, "memory": memory, "units": units, "environments": num_environments, "seeds": num_seeds,
        "rollout": rollout_length,
    }  # fmt: skip
    return result(settings, "seconds of the processor per step", compile_seconds, timings, derived)


def products_of(memory: str, units: int, num_actions: int, rollout_length: int) -> float:
    """Multiplications of one agent's step: acting and the value behind a rollout, and thrice those for the update."""
    places = (_FRAME[0] - 2) * (_FRAME[1] - 2)
    forward = places * 9 * _FRAME[2] * 16 + places * 16 * units + units * (num_actions + 1)
    forward += 8 * units**2 if memory == "lstm" else 0
    return forward * (1 + 1 / rollout_length + 3)


def _run(program: Any, argument: Any) -> Any:
    return wait(program(argument))
