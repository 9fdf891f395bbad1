"""T trials in one program against T runs of one trial."""

import dataclasses
from typing import Any

import jax

from benchmarks import settings
from benchmarks.timing import alternate, compiled, wait


def measure(
    setting: str = "small", *, counts: tuple[int, ...] = (1, 4, 16, 64), rounds: int, num_steps: int
) -> dict[str, Any]:
    """Times `num_steps` steps of T trials, as one batched program and one trial after the other.

    The separate runs share one compiled program; processes of their own would compile T times on top. Derived:
    trial-steps per second of both, and their ratio.
    """
    config = settings.SETTINGS[setting]
    study = settings.study_of(config)
    timings, compile_seconds, derived = {}, {}, {}

    def steps(state):
        return jax.lax.scan(study.step, state, None, length=num_steps)

    trials = settings.trials_of(config, max(counts))
    states = wait(jax.jit(jax.vmap(study.init))(trials.keys, trials.hparams))
    each = [wait(jax.tree.map(lambda leaf, i=i: leaf[i], states)) for i in range(max(counts))]
    alone, compile_seconds["one trial"] = compiled(steps, each[0])
    for count in counts:
        batch = wait(jax.tree.map(lambda leaf, count=count: leaf[:count], states))
        together, compile_seconds[f"{count} together"] = compiled(jax.vmap(steps), batch)

        def separately(count=count):
            for state in each[:count]:
                wait(alone(state))

        runs = {
            f"{count} together": lambda program=together, batch=batch: wait(program(batch)),
            f"{count} separate": separately,
        }
        timings |= alternate(runs, rounds=rounds, units=count * num_steps)
        for name in runs:
            derived[f"{name}: trial-steps/s"] = 1 / timings[name].median
        derived[f"{count}: speedup"] = timings[f"{count} separate"].median / timings[f"{count} together"].median
    return {
        "settings": {**settings.describe(config), "num_steps": num_steps},
        "unit": "seconds per trial-step",
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }
