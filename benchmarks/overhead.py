"""What `identax.run.run` costs over a loop written by hand, as whole runs and per step."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import settings
from benchmarks.timing import Measurement, compiled, excess, in_turn, wait
from identax.rng import step_key, stream
from identax.run import make_mesh, run
from identax.run.mesh import trial_sharding
from identax.run.program import LONG_RUN, Programs, compiler_options
from identax.study import Study, Trials

_CHUNKS_PER_ROUND = 5


def measure(
    setting: str = "small", *, num_trials: int = 4, rounds: int, num_steps: int, log_every: int
) -> dict[str, Any]:
    """Times whole runs, compilation apart: start, evaluate, `num_steps` steps, evaluate, metrics on the host.

    By hand it is `jit(scan(vmap(step)))`, as JAX compiles it, in one piece ("one scan") or in chunks of `log_every`
    steps whose metrics are fetched one by one ("by hand"). The runner does it in memory and with a workdir (records,
    one checkpoint). Rows "step" are chunks alone, by hand and by the runner's program: where a difference of whole runs
    does not show in them, it is a fixed cost. On a CPU both also at LLVM's level 1, at which the runner compiles the
    steps of runs shorter than `LONG_RUN`.
    Derived: overheads in per cent, and "at least": what load from outside does not explain (`excess`).
    """
    config = settings.SETTINGS[setting]
    study, trials = settings.study_of(config), settings.trials_of(config, num_trials)
    whole, compile_seconds = _whole_runs(study, trials, num_steps, log_every)
    seconds = in_turn(whole, rounds=rounds)
    steps = _chunks(study, trials, log_every)
    seconds |= in_turn(steps, rounds=_CHUNKS_PER_ROUND * rounds, units=log_every)
    derived = {}
    for name in ("runner", "runner with workdir"):
        for base in ("one scan", "by hand"):
            derived[f"{name} over {base} (%)"], at_least = excess(seconds[name], seconds[base])
        derived[f"{name} over by hand, at least (%)"] = at_least
    for name, base in (
        ("step of the runner", "step by hand"),
        ("step of the runner, level 1", "step by hand, level 1"),
        ("step by hand, level 1", "step by hand"),
    ):
        derived[f"{name} over {base} (%)"], derived[f"{name} over {base}, at least (%)"] = excess(
            seconds[name], seconds[base]
        )
    return {
        "settings": {
            **settings.describe(config),
            "num_trials": num_trials,
            "num_steps": num_steps,
            "log_every": log_every,
        },
        "unit": "seconds per run; rows 'step': per step",
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(Measurement.of(values)) for name, values in seconds.items()},
        "derived": derived,
    }


def _whole_runs(
    study: Study, trials: Trials, num_steps: int, log_every: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    """The runs to time, and the seconds their programs took to compile."""
    init = jax.vmap(study.init)
    start, compile_start = compiled(init, trials.keys, trials.hparams)
    state = wait(start(trials.keys, trials.hparams))
    evaluate, compile_evaluate = compiled(
        jax.vmap(lambda state: study.evaluate(state, step_key(stream(state.key, "eval"), state.step))), state
    )
    one, compile_one = compiled(_scanned(study, num_steps), state, donate_argnums=0)
    chunk, compile_chunk = compiled(_scanned(study, log_every), state, donate_argnums=0)
    mesh = make_mesh(trial=1)

    def by_hand(program, calls):
        state = start(trials.keys, trials.hparams)
        found = [jax.device_get(evaluate(state))]
        for _ in range(calls):
            state, metrics = program(state)
            found.append(jax.device_get(metrics))
        return [*found, jax.device_get(evaluate(state)), wait(state)]

    def with_runner(workdir: Path | None = None):
        return run(study, trials, num_steps=num_steps, log_every=log_every, workdir=workdir, progress=False, mesh=mesh)

    def in_workdir():
        with tempfile.TemporaryDirectory() as folder:
            with_runner(Path(folder) / "run")

    runs = {
        "one scan": lambda: by_hand(one, 1),
        "by hand": lambda: by_hand(chunk, num_steps // log_every),
        "runner": with_runner,
        "runner with workdir": in_workdir,
    }
    return runs, {
        "one scan": compile_start + compile_evaluate + compile_one,
        "by hand": compile_start + compile_evaluate + compile_chunk,
        "runner": float(with_runner().seconds["compile"]),
    }


def _chunks(study: Study, trials: Trials, length: int) -> dict[str, Callable[[], Any]]:
    """Chunks of `length` steps, one after another: by hand and by the runner's program, at both levels."""
    mesh = make_mesh(trial=1)
    sharding = trial_sharding(mesh)
    placed = jax.device_put(trials, sharding)

    def by_hand(options: dict[str, int]):
        held = jax.jit(jax.vmap(study.init))(trials.keys, trials.hparams)
        program, _ = compiled(_scanned(study, length), held, donate_argnums=0, compiler_options=options)

        def chunk():
            nonlocal held
            held, _ = wait(program(held))

        return chunk

    def by_runner(num_steps: int):
        programs = Programs(study, mesh, "vmap", lambda phase: None, num_steps=num_steps)
        state = programs.start(placed.keys, placed.hparams)
        alive = jnp.ones(len(trials), bool, device=sharding)

        def chunk():
            nonlocal state, alive
            state, alive, *_ = wait(programs.advance(state, alive, None, length))

        return chunk

    return {
        "step by hand": by_hand({}),
        "step of the runner": by_runner(LONG_RUN),
        "step by hand, level 1": by_hand(compiler_options()),
        "step of the runner, level 1": by_runner(0),
    }


def _scanned(study: Study, length: int) -> Callable[[Any], Any]:
    batched = jax.vmap(study.step, in_axes=(0, None))
    return lambda state: jax.lax.scan(batched, state, None, length=length)
