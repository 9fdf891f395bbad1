"""`run`: executes any study over many trials and devices, with records, checkpoints and progress."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from identax.run import guard, phases
from identax.run.checkpoint import Checkpoints
from identax.run.environment import describe_environment, enable_compilation_cache
from identax.run.interrupt import StopRequest
from identax.run.loader import Feed
from identax.run.mesh import TrialMap, agree, exchange, make_mesh, padded_size, trial_sharding
from identax.run.program import Programs, abstract_state
from identax.run.progress import Progress
from identax.run.records import read_rows, write_json
from identax.run.results import Results
from identax.run.session import Cadence, Session, padding
from identax.run.trials_file import describe_trials, differences, write_trials
from identax.study import State, Study, Trials


def run(
    study: Study | Callable[[Any, Any], dict[str, Any]],
    trials: Trials,
    *,
    num_steps: int = 0,
    log_every: int = 100,
    evaluate_every: int | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 2,
    batches: Iterable[Any] | None = None,
    mesh: Mesh | None = None,
    trial_map: TrialMap = "vmap",
    workdir: str | Path | None = None,
    resume: bool = False,
    config: Mapping[str, Any] | None = None,
    sinks: Iterable[Any] = (),
    progress: bool | None = None,
    title: str = "run",
    after: Results | None = None,
    after_state: phases.Which = "final",
) -> Results:
    """Runs all trials of a study and returns what was measured, trials apart.

    `study` is a `Study`, or a function `trial(key, hparams) -> metrics` for work without gradient training.
    Chunks of `log_every` steps are one `scan` on the device; the metrics of a chunk are read while the next one
    runs. `evaluate_every` (default: only before the first and after the last step) and `checkpoint_every`
    (default: only at the end) are multiples of `log_every`. `batches` feeds studies that do not sample their own
    data. Trials spread over the mesh's trial axis (default: all devices) and share a device by `trial_map`.

    `after` has each trial start from the `after_state` ("final" or "best") of the trial of the same seed in an earlier
    run, which the study's `init(key, hparams, before)` gets; a trial whose earlier one failed is failed from the start.

    With a `workdir`, writes `config.json`, `records.jsonl` and `checkpoints/`; SIGTERM or SIGINT saves at the
    next chunk boundary and raises `Interrupted` (exit code 75). `resume=True` continues from the newest intact
    checkpoint, on any number of devices. `config` is recorded and must be equal on resume.

    Raises `ValueError` before compiling for cadences that do not divide, a batch that does not divide over the
    data axis, more trials than memory holds, an earlier run that does not fit, or a workdir that is not to be written;
    and while training when a host batch holds NaN or the loader ends, after saving the steps that are done.
    """
    study = study if isinstance(study, Study) else _study_of(study)
    cadence = Cadence(log_every, evaluate_every, checkpoint_every)
    if trial_map not in ("vmap", "map"):
        raise ValueError(f"run: found trial_map={trial_map!r}, wanted 'vmap' or 'map'")
    if len(trials) == 0:
        raise ValueError("run: found 0 trials, wanted at least 1")
    guard.check_cadences(num_steps, log_every, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    guard.check_events(study, num_steps, log_every)
    guard.check_keep(study, num_steps, evaluate_every)
    enable_compilation_cache()
    mesh = make_mesh() if mesh is None else mesh
    placed = _place(trials, mesh)
    feed = Feed(None if batches is None else iter(batches), mesh)
    before, failed_before = _before(after, after_state, trials, mesh)
    abstract = abstract_state(study, mesh, placed.keys, placed.hparams, before)
    if num_steps:
        example = agree(feed.example)
        guard.check_data_axis(study, abstract, example, mesh)
        agree(lambda: guard.check_memory(study, abstract, example, mesh, trial_map))
    settings = {
        "config": dict(config or {}),
        "num_steps": num_steps,
        "cadence": dataclasses.asdict(cadence),
    }
    if after is not None:
        settings["after"] = phases.fingerprint(after, after_state)
    check_disk = functools.partial(guard.check_disk, abstract=abstract, keep=keep_checkpoints)
    folder = _open_workdir(workdir, settings, trials, check_disk, resume=resume)
    checkpoints = None if folder is None else Checkpoints(folder / "checkpoints", keep=keep_checkpoints)
    found = _newest(checkpoints, folder) if resume else None
    start_step = 0 if found is None else found[0]
    with Progress(num_steps, title=title, enabled=progress, start_step=start_step) as display, StopRequest() as stop:
        programs = Programs(study, mesh, trial_map, display.phase, num_steps=num_steps)
        session = Session(
            programs, trials, placed, abstract, mesh, feed, cadence, folder, checkpoints, list(sinks), display, before,
            failed_before,
        )  # fmt: skip
        try:
            return session.run(num_steps, stop, found)
        finally:
            session.close()


def _place(trials: Trials, mesh: Mesh) -> Trials:
    """Puts the trials on the mesh, padded to a multiple of its trial axis."""
    padded = trials[padding(len(trials), padded_size(len(trials), mesh))]
    sharding = trial_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(padded, sharding)
    return jax.jit(lambda tree: tree, out_shardings=sharding)(padded)


def _before(after: Results | None, which: phases.Which, trials: Trials, mesh: Mesh) -> tuple[Any, np.ndarray]:
    """The states to start from, padded and on the mesh, and the step 1 as that of failure where there is none."""
    if after is None:
        return None, np.zeros(len(trials), int)
    index = phases.earlier_trials(after, trials)
    state = phases.states_of(after, which)
    padded = index[padding(len(trials), padded_size(len(trials), mesh))]
    return phases.start_from(state, padded, mesh), (np.asarray(after.failed_at)[index] > 0).astype(int)


@functools.lru_cache(maxsize=64)  # the same function gives the same study, which compiles once
def _study_of(trial: Callable[[Any, Any], dict[str, Any]]) -> Study:
    """A study whose evaluation is the whole work."""

    def init(key, hparams):
        return State(jnp.zeros((), jnp.int32), key, None, None, None, None, hparams)

    def step(state, batch):
        raise ValueError("run: a trial function has no training steps; wanted num_steps=0")

    return Study(init, step, lambda state, key: trial(state.key, state.hparams))


def _open_workdir(
    workdir: str | Path | None,
    settings: dict[str, Any],
    trials: Trials,
    check_disk: Callable[[Path], None],
    *,
    resume: bool,
) -> Path | None:
    """Claims the run directory and writes `trials.npz` and `config.json`, unless they are there already."""
    if workdir is None:
        if resume:
            raise ValueError("run: found resume without a workdir, wanted the folder of the run to continue")
        return None
    folder = Path(workdir).resolve()

    def claim():
        if jax.process_index() == 0:  # alone: the others would find what it just wrote
            guard.claim_workdir(folder, settings, resume=resume, differs=lambda: differences(folder, trials))
            check_disk(folder)
            if not (folder / guard.CONFIG).exists():
                write_trials(folder, trials)  # first: a folder with a config has everything
                recorded = {"config": settings, "trials": describe_trials(trials)}
                write_json(folder / guard.CONFIG, {**recorded, "environment": describe_environment()})

    agree(claim)
    return folder


def _newest(checkpoints: Checkpoints | None, folder: Path | None) -> tuple[int, dict[str, Any]] | None:
    """Newest usable checkpoint as process 0 sees it, whose rows must all be in the records."""
    if checkpoints is None or folder is None:
        return None

    def rows_missing(step: int, extra: dict[str, Any]) -> str | None:
        count = len(read_rows(folder / "records.jsonl", last_step=step))
        return None if count == extra["rows"] else f"records.jsonl has {count} of its {extra['rows']} rows"

    def look():
        return json.dumps(checkpoints.latest(rows_missing) if jax.process_index() == 0 else None)

    found = json.loads(exchange(agree(look))[0])
    return None if found is None else (found[0], found[1])
