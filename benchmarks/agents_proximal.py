"""PPO of two small towers, beside that of rejax where an interpreter that has it is named."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.agents import DRAWN, drawn_frames
from benchmarks.timing import Measurement, compiled, in_turn, result, wait
from identax.agents import Choices, PolicyNetwork, agent_study, policy_network
from identax.dgp.environments import environment
from identax.models import flat_encoder
from identax.rng import stream

INTERPRETER = "REJAX_PYTHON"
"""names the interpreter of an environment with `pip install "rejax==0.1.3" "gymnax<1" "jax==0.10.2"`"""
_SETTINGS = {"learning_rate": 3e-4, "max_norm": 0.5, "entropy_weight": 0.01, "discount": 0.99, "gae_lambda": 0.95}


def towers(num_actions: int, widths: tuple[int, ...]) -> PolicyNetwork:
    """Actor and critic without anything in common, as in rejax: an encoder and a head each."""
    actor, critic = (policy_network(num_actions, flat_encoder(widths), memory="none") for _ in range(2))

    def init(key, observations):
        sides = {"actor": actor, "critic": critic}
        return {name: side.init(stream(key, name), observations) for name, side in sides.items()}

    def encode(params, observations):
        return jnp.concatenate(
            [actor.encode(params["actor"], observations), critic.encode(params["critic"], observations)], axis=-1
        )

    def unroll(params, carry, observations, resets):
        del carry, resets
        found = encode(params, observations.reshape(-1, *observations.shape[2:]))
        return found.reshape(*observations.shape[:2], -1)

    def heads(params, features):
        logits, _ = actor.heads(params["actor"], features[..., : widths[-1]])
        return logits, critic.heads(params["critic"], features[..., widths[-1] :])[1]

    def step(params, carry, observations):
        return carry, encode(params, observations)

    return PolicyNetwork(init, encode, actor.start, step, unroll, heads)


def steps(
    *,
    game: str,
    widths: tuple[int, ...],
    num_environments: int,
    num_seeds: int,
    rollout_length: int,
    epochs: int,
    minibatches: int,
    num_updates: int,
    rounds: int,
    python: str | None = None,
) -> dict[str, Any]:
    """Updates of PPO with the game in them; a unit is one step of one agent in one environment.

    rejax has the same game, sizes, epochs and minibatches on the same core, in turn. It clips gradients by element,
    ours by their norm; it clips values too. All seconds are the processor's. `python`: the interpreter that has it,
    else that of the variable `INTERPRETER`; without either ours is measured alone, and a line says so.
    """
    python = python or os.environ.get(INTERPRETER)
    world = drawn_frames() if game == DRAWN else environment(game)
    choices = Choices(
        rollout_length=rollout_length, algorithm="ppo", advantages="gae", truncation="ends", epochs=epochs,
        minibatches=minibatches,
    )  # fmt: skip
    network = towers(world.num_actions, widths)
    study = agent_study(world, network, num_environments=num_environments, choices=choices, settings=_SETTINGS)
    states = jax.jit(jax.vmap(lambda key: study.init(key, {})))(jax.random.split(jax.random.key(0), num_seeds))

    def updates(states):
        def one(state):
            return jax.lax.scan(lambda state, _: (study.step(state, None)[0], None), state, None, length=num_updates)

        return jax.vmap(one)(states)[0]

    program, seconds = compiled(updates, states)
    compiling = {"identax": seconds}
    runs: dict[str, Callable[[], Any]] = {"identax": lambda: wait(program(states))}
    settings = {
        "game": game, "widths": widths, "environments": num_environments, "seeds": num_seeds,
        "rollout": rollout_length, "epochs": epochs, "minibatches": minibatches,
    }  # fmt: skip
    other = None
    if python is None:
        print(f"rejax not measured: name an interpreter that has it in {INTERPRETER}", file=sys.stderr, flush=True)
    else:
        other = Other(python, settings | _SETTINGS | {"updates": num_updates})
        runs["rejax"], compiling["rejax"] = other.run, other.compiling
    clock = partial(_clock, other)
    units = num_updates * rollout_length * num_environments * num_seeds
    try:
        found = in_turn(runs, rounds=rounds, units=units, clock=clock)
    finally:
        if other is not None:
            other.close()
    timings = {name: Measurement.of(values) for name, values in found.items()}
    derived = {f"{name}: steps/s": 1 / timings[name].median for name in runs}
    if other is not None:
        derived["speedup"] = timings["rejax"].median / timings["identax"].median
    return result(settings, "seconds of the processor per step", compiling, timings, derived)


class Other:
    """The other program: its process, and the processor's seconds of all its runs so far."""

    def __init__(self, python: str, settings: dict[str, Any]) -> None:
        command = [python, "-m", "benchmarks.agents_rejax", json.dumps(settings)]
        root = Path(__file__).parent.parent
        without = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=without
        )
        self.seconds = 0.0
        self.compiling = self._answer()["ready"]

    def run(self) -> None:
        """So many updates."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds += self._answer()["seconds"]

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()

    def _answer(self):
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise RuntimeError(f"rejax: its process ended with code {self.process.returncode}")
        return json.loads(line)


def _clock(other):
    """Seconds of the processor of both processes together, of which one is working at a time."""
    return time.process_time() + (other.seconds if other is not None else 0.0)
