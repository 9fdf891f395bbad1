"""The same trials on one and on all devices: same numbers, nothing exchanged."""

import dataclasses
import re
from typing import Any

import jax
import numpy as np

from benchmarks import settings
from benchmarks.timing import alternate, compiled, wait
from identax.run.mesh import make_mesh, map_trials, trial_sharding

COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|all-to-all|ragged-all-to-all|reduce-scatter|collective-permute|collective-broadcast)"
)


def measure(setting: str = "small", *, num_trials: int = 8, rounds: int, num_steps: int) -> dict[str, Any]:
    """Times `num_steps` steps of `num_trials` trials on one device and spread over all of them.

    Raises `AssertionError` if the program for many devices holds a collective operation, or if losses or parameters
    differ by 1e-3 or more, far above float32 rounding after so few steps; the largest difference is reported.
    Virtual devices share the cores of one machine: here time may only not grow much.
    """
    config = settings.SETTINGS[setting]
    study = settings.study_of(config)
    trials = settings.trials_of(config, num_trials)
    state = wait(jax.jit(jax.vmap(study.init))(trials.keys, trials.hparams))
    runs, compile_seconds, outcomes = {}, {}, {}

    def steps(state):
        return jax.lax.scan(study.step, state, None, length=num_steps)

    for count in sorted({1, len(jax.devices())}):
        mesh = make_mesh(devices=jax.devices()[:count])
        placed = jax.device_put(state, trial_sharding(mesh))
        name = f"{count} devices"
        program, compile_seconds[name] = compiled(map_trials(steps, mesh), placed)
        found = COLLECTIVE.findall(program.as_text())
        if found:
            raise AssertionError(f"devices: the program for {name} holds {sorted(set(found))}, wanted no collectives")
        runs[name] = lambda program=program, placed=placed: wait(program(placed))
        final, metrics = runs[name]()
        outcomes[name] = jax.tree.map(np.asarray, jax.device_get((final.params, metrics["loss"])))
    timings = alternate(runs, rounds=rounds, units=num_steps * num_trials)
    first, *others = outcomes.values()
    difference = max((_largest_difference(first, other) for other in others), default=0.0)
    if not difference < 1e-3:
        raise AssertionError(f"devices: found results that differ by {difference:.2g}, wanted less than 1e-3")
    names = list(runs)
    return {
        "settings": {**settings.describe(config), "num_trials": num_trials, "num_steps": num_steps},
        "unit": "seconds per trial-step",
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": {
            "devices": len(jax.devices()),
            "largest difference": difference,
            "collectives": 0,
            "speedup": timings[names[0]].median / timings[names[-1]].median,
        },
    }


def _largest_difference(a, b) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
