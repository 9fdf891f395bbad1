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

    That the numbers are the same is asserted in float64. In float32 training amplifies rounding (from 1e-6 to
    1e-2 between steps 60 and 90, on batches equal to 4e-7): that difference is reported, not asserted.
    Raises `AssertionError` if a program for many devices holds a collective operation, or if losses or parameters
    in float64 differ by 1e-9 or more. Virtual devices share the cores of one machine: no speed-up is to be expected.
    """
    config = settings.SETTINGS[setting]
    runs, compile_seconds = _programs(config, num_trials, num_steps)
    differences = {"float32": _largest_difference([call() for call in runs.values()])}
    with jax.enable_x64(True):
        exact, _ = _programs(config, num_trials, num_steps)
        differences["float64"] = _largest_difference([call() for call in exact.values()])
    if not differences["float64"] < 1e-9:
        raise AssertionError(
            f"devices: found float64 results {differences['float64']:.2g} apart, wanted less than 1e-9"
        )
    timings = alternate(runs, rounds=rounds, units=num_steps * num_trials)
    names = list(runs)
    return {
        "settings": {**settings.describe(config), "num_trials": num_trials, "num_steps": num_steps},
        "unit": "seconds per trial-step",
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": {
            "devices": len(jax.devices()),
            **{f"largest difference in {dtype}": value for dtype, value in differences.items()},
            "collectives": 0,
            "speedup": timings[names[0]].median / timings[names[-1]].median,
        },
    }


def _programs(config, num_trials, num_steps):
    """The same steps compiled for one device and for all, checked for collectives, and the seconds it took."""
    study, trials = settings.study_of(config), settings.trials_of(config, num_trials)
    state = wait(jax.jit(jax.vmap(study.init))(trials.keys, trials.hparams))
    runs, compile_seconds = {}, {}

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
    return runs, compile_seconds


def _largest_difference(outcomes) -> float:
    """Largest absolute difference of parameters and losses between the first outcome and the others."""
    values = [jax.tree.leaves(jax.device_get((state.params, metrics["loss"]))) for state, metrics in outcomes]
    return max(
        (float(np.abs(x - y).max()) for other in values[1:] for x, y in zip(values[0], other, strict=True)),
        default=0.0,
    )
