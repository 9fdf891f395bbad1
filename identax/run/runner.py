"""`run`: executes any study over many trials and devices, with records, checkpoints and progress."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.run import guard, phases
from identax.run.blocks import TrialSession, find_done, make_blocks
from identax.run.checkpoint import Checkpoints
from identax.run.environment import avoid_cpu_hang, describe_environment, enable_compilation_cache
from identax.run.folder import REFUSALS, local_folder
from identax.run.interrupt import StopRequest
from identax.run.loader import Feed
from identax.run.mesh import TrialMap, agree, exchange, make_mesh, padded_size, place
from identax.run.program import Programs, abstract_state
from identax.run.progress import Progress
from identax.run.records import write_json
from identax.run.results import Results
from identax.run.saved import CHECKPOINTS, RECORDS, begin_over, check_arrays, holds_work, newest
from identax.run.session import Cadence, Session, padding
from identax.run.trials_file import FILE as TRIALS
from identax.run.trials_file import describe_trials, differences, write_trials
from identax.study import HostTrial, Study, Trials

KEEP_CHECKPOINTS = 2


def run(
    study: Study | HostTrial | Callable[[Any, Any], Any],
    trials: Trials,
    *,
    num_steps: int = 0,
    log_every: int = 100,
    evaluate_every: int | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = KEEP_CHECKPOINTS,
    block_size: int | None = None,
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

    `study` is a `Study`, or a function `trial(key, hparams)` for work without steps, or a `HostTrial` for such a
    function that JAX cannot trace. It returns metrics, or a pair of metrics and arrays to keep (`Results.arrays`). Such
    trials run in blocks of `block_size`, by default of what an estimate of memory allows, on the host one by one; the
    end of a block is what the end of a chunk is to a study. Cadences are for studies.

    Chunks of `log_every` steps are one `scan` on the device; the metrics of a chunk are read while the next one
    runs. `evaluate_every` (default: only before the first and after the last step) and `checkpoint_every`
    (default: only at the end) are multiples of `log_every`. `batches` feeds studies that do not sample their own
    data. Trials spread over the mesh's trial axis (default: all devices) and share a device by `trial_map`.

    `after` has each trial start from the `after_state` ("final" or "best") of the trial of the same seed in an earlier
    run, which the study's `init(key, hparams, before)` or a function `trial(key, hparams, before)` gets; a trial whose
    earlier one failed is failed from the start.

    With a `workdir`, writes `config.json`, `trials.npz`, `records.jsonl` and `checkpoints/` (`blocks.json` for
    trials without steps), and `arrays/` for what is kept; SIGTERM or SIGINT saves at the next boundary, the last one
    too, and raises `Interrupted` (exit code 75). `resume=True` continues from the newest intact checkpoint, on any
    number of devices. `config` is recorded and must be equal on resume, and so must be the trials.

    Raises `ValueError` before compiling for cadences that do not divide, a batch that does not divide over the
    data axis, more trials than memory holds, an earlier run that does not fit, or a workdir that is not to be written;
    and while training when a host batch holds NaN or the loader ends, after saving the steps that are done.
    """
    if trial_map not in ("vmap", "map"):
        raise ValueError(f"run: found trial_map={trial_map!r}, wanted 'vmap' or 'map'")
    if len(trials) == 0:
        raise ValueError("run: found 0 trials, wanted at least 1")
    if keep_checkpoints < 1:
        raise ValueError(f"run: found keep_checkpoints={keep_checkpoints}, wanted at least 1")
    _check_kind(study, num_steps, block_size, batches)
    workdir = None if workdir is None else local_folder("run: workdir", workdir).resolve()
    avoid_cpu_hang()
    enable_compilation_cache()
    mesh = make_mesh() if mesh is None else mesh
    if not isinstance(study, Study):
        return _run_trials(
            study, trials, block_size, mesh, trial_map, workdir, resume, config or {}, list(sinks), progress, title,
            after, after_state,
        )  # fmt: skip
    cadence = Cadence(log_every, evaluate_every, checkpoint_every)
    guard.check_run(study, num_steps, log_every, evaluate_every, checkpoint_every)
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
    settings |= phases.fingerprint(after, after_state)
    check_disk = functools.partial(guard.check_disk, abstract=abstract, keep=keep_checkpoints)
    with _opened(workdir, settings, trials, check_disk, resume=resume) as folder:
        checkpoints = None if folder is None else Checkpoints(folder / CHECKPOINTS, keep=keep_checkpoints)
        found = _newest(checkpoints, folder) if resume else None
        begin = 0 if found is None else found[0]
        with Progress(num_steps, title=title, enabled=progress, start_step=begin) as display, StopRequest() as stop:
            programs = Programs(study, mesh, trial_map, display.phase, num_steps=num_steps)
            session = Session(
                programs, trials, placed, abstract, mesh, feed, cadence, folder, checkpoints, list(sinks), display,
                before, failed_before,
            )  # fmt: skip
            try:
                results = session.run(num_steps, stop, found)
            finally:
                session.close()
            stop.answer(num_steps, saved=folder is not None)  # a signal in the last chunk
    return results


def abstract_states(study: Study, trials: Trials, mesh: Mesh) -> Any:
    """Shapes of the states of a run that starts after no other, padded as it pads them; nothing is placed."""
    padded = trials[padding(len(trials), padded_size(len(trials), mesh))]
    return abstract_state(study, mesh, padded.keys, padded.hparams)


def _place(trials: Trials, mesh: Mesh) -> Trials:
    """Puts the trials on the mesh, padded to a multiple of its trial axis."""
    return place(trials[padding(len(trials), padded_size(len(trials), mesh))], mesh)


def _before(after: Results | None, which: phases.Which, trials: Trials, mesh: Mesh) -> tuple[Any, np.ndarray]:
    """The states to start from, padded and on the mesh, and the step 1 as that of failure where there is none."""
    if after is None:
        return None, np.zeros(len(trials), int)
    index = phases.earlier_trials(after, trials)
    state = phases.states_of(after, which)
    padded = index[padding(len(trials), padded_size(len(trials), mesh))]
    return phases.start_from(state, padded, mesh), (np.asarray(after.failed_at)[index] > 0).astype(int)


def _run_trials(
    trial: HostTrial | Callable[[Any, Any], Any],
    trials: Trials,
    block_size: int | None,
    mesh: Mesh,
    trial_map: TrialMap,
    workdir: Path | None,
    resume: bool,
    config: Mapping[str, Any],
    sinks: list[Any],
    progress: bool | None,
    title: str,
    after: Results | None,
    after_state: phases.Which,
) -> Results:
    """`run` for trials without steps."""
    found = find_done(workdir) if resume else None
    done = 0 if found is None else found["done"]
    blocks = None
    if found is not None and workdir is not None and done == len(trials):
        agree(lambda: check_arrays(workdir, found["sealed"], "run") if jax.process_index() == 0 else None)
    if done < len(trials):
        earlier = None if found is None else found["block_size"]
        work = (trial, trials) if after is None else phases.with_before(trial, trials, after, after_state)
        blocks = make_blocks(*work, mesh, trial_map, block_size, earlier)

    def check_disk(folder: Path) -> None:
        if blocks is not None and found is None:  # otherwise the arrays are there
            blocks.check_disk(folder)

    settings = {"config": dict(config), "num_steps": 0} | phases.fingerprint(after, after_state)
    with (
        _opened(workdir, settings, trials, check_disk, resume=resume) as folder,
        Progress(len(trials), title=title, enabled=progress, start_step=done, unit="trial") as display,
        StopRequest() as stop,
        contextlib.closing(TrialSession(blocks, trials, folder, found, sinks, display)) as session,
    ):
        results = session.run(stop)
        stop.answer(len(trials), saved=folder is not None, trials=len(trials))  # a signal in the last block
    return results


def _check_kind(study: Any, num_steps: int, block_size: int | None, batches: Iterable[Any] | None) -> None:
    """Refuses what makes no sense for a study with steps, or for trials without."""
    if isinstance(study, Study):
        if block_size is not None:
            raise ValueError(f"run: found block_size={block_size} for a study, wanted it for trials without steps only")
        return
    if not isinstance(study, HostTrial) and not callable(study):
        raise ValueError(f"run: found {type(study).__name__}, wanted a Study, a trial function or a HostTrial")
    if num_steps:
        raise ValueError(f"run: found num_steps={num_steps} for a trial function, which has none; wanted num_steps=0")
    if batches is not None:
        raise ValueError("run: found `batches` for a trial function, wanted it for a study only")
    if block_size is not None and block_size < 1:
        raise ValueError(f"run: found block_size={block_size}, wanted at least 1")


@contextlib.contextmanager
def _opened(
    folder: Path | None,
    settings: dict[str, Any],
    trials: Trials,
    check_disk: Callable[[Path], None],
    *,
    resume: bool,
) -> Iterator[Path | None]:
    """Holds the run directory and writes `trials.npz` and `config.json`, unless they are there already.

    What is refused before a row was written leaves no config behind, so that the corrected run may have the folder.
    Raises `OSError` where the folder is deleted or moved meanwhile.
    """
    if folder is None:
        if resume:
            raise ValueError("run: found resume without a workdir, wanted the folder of the run to continue")
        yield None
        return
    written, locks = False, []
    with contextlib.ExitStack() as held:

        def still_there():
            for lock in locks:
                lock.check()

        def claim():
            nonlocal written
            if jax.process_index() == 0:  # alone: the others would find what it just wrote
                different = functools.partial(differences, folder, trials)
                locks.append(held.enter_context(guard.claimed(folder, settings, resume=resume, differs=different)))
                check_disk(folder)
                if resume and "cadence" not in settings:  # trials without steps
                    begin_over(folder)
                if not (folder / guard.CONFIG).exists():
                    write_trials(folder, trials)  # first: a folder with a config has everything
                    recorded = {"config": settings, "trials": describe_trials(trials)}
                    write_json(folder / guard.CONFIG, {**recorded, "environment": describe_environment()})
                    written = True

        agree(claim)
        try:
            yield folder
        except Exception as error:
            still_there()  # says more than what a library makes of a folder that is gone
            if written and isinstance(error, REFUSALS) and not holds_work(folder):
                for name in (guard.CONFIG, TRIALS, RECORDS):
                    (folder / name).unlink(missing_ok=True)
            raise
        agree(still_there)


def _newest(checkpoints: Checkpoints | None, folder: Path | None) -> tuple[int, dict[str, Any]] | None:
    """Where to go on, as process 0 sees it; raises like `newest`."""
    if checkpoints is None or folder is None:
        return None

    def look():
        return json.dumps(newest(folder, checkpoints) if jax.process_index() == 0 else None)

    found = json.loads(exchange(agree(look))[0])
    return None if found is None else (found[0], found[1])
