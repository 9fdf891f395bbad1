"""What `identax.run.run` costs over a loop written by hand."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import settings
from benchmarks.timing import alternate, compiled, wait
from identax.rng import step_key, stream
from identax.run import run


def measure(
    setting: str = "small", *, num_trials: int = 4, rounds: int, num_steps: int, log_every: int
) -> dict[str, Any]:
    """Times whole runs, compilation apart: start, evaluate, `num_steps` steps, evaluate, metrics on the host.

    By hand it is `jit(scan(vmap(step)))` in one piece ("one scan") or in chunks of `log_every` steps whose metrics are
    fetched one by one ("by hand"). The runner does it in memory and with a workdir (records, one checkpoint).
    Derived: the overhead of either over the one scan and over the chunks, in per cent of the medians.
    """
    config = settings.SETTINGS[setting]
    study, trials = settings.study_of(config), settings.trials_of(config, num_trials)
    init = jax.vmap(study.init)
    state = wait(jax.jit(init)(trials.keys, trials.hparams))
    start, compile_start = compiled(init, trials.keys, trials.hparams)
    evaluate, compile_evaluate = compiled(
        jax.vmap(lambda state: study.evaluate(state, step_key(stream(state.key, "eval"), state.step))), state
    )

    def scanned(length):
        batched = jax.vmap(study.step, in_axes=(0, None))
        return compiled(lambda state: jax.lax.scan(batched, state, None, length=length), state, donate_argnums=0)

    one, compile_one = scanned(num_steps)
    chunk, compile_chunk = scanned(log_every)

    def by_hand(program, calls):
        state = start(trials.keys, trials.hparams)
        found = [jax.device_get(evaluate(state))]
        for _ in range(calls):
            state, metrics = program(state)
            found.append(jax.device_get(metrics))
        return [*found, jax.device_get(evaluate(state)), wait(state)]

    def with_runner(workdir: Path | None = None):
        return run(study, trials, num_steps=num_steps, log_every=log_every, workdir=workdir, progress=False, mesh=None)

    def in_workdir():
        with tempfile.TemporaryDirectory() as folder:
            with_runner(Path(folder) / "run")

    compile_runner = with_runner().seconds["compile"]
    timings = alternate(
        {
            "one scan": lambda: by_hand(one, 1),
            "by hand": lambda: by_hand(chunk, num_steps // log_every),
            "runner": with_runner,
            "runner with workdir": in_workdir,
        },
        rounds=rounds,
    )
    medians = {name: timing.median for name, timing in timings.items()}
    derived = {
        f"{name} over {base} (%)": 100 * (medians[name] / medians[base] - 1)
        for name in ("runner", "runner with workdir")
        for base in ("one scan", "by hand")
    }
    return {
        "settings": {
            **settings.describe(config),
            "num_trials": num_trials,
            "num_steps": num_steps,
            "log_every": log_every,
        },
        "unit": "seconds per run",
        "compile_seconds": {
            "one scan": compile_start + compile_evaluate + compile_one,
            "by hand": compile_start + compile_evaluate + compile_chunk,
            "runner": float(np.asarray(compile_runner)),
        },
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }
