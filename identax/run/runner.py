"""`run`: executes any study over many trials and devices, with records, checkpoints and progress."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.run import guard, phases
from identax.run.blocks import TrialSession, find_done, make_blocks
from identax.run.checkpoint import Checkpoints
from identax.run.environment import avoid_cpu_hang, enable_compilation_cache
from identax.run.folder import local_folder
from identax.run.interrupt import StopRequest
from identax.run.loader import Feed
from identax.run.mesh import TrialMap, agree, make_mesh, padded_size, place
from identax.run.program import Programs, abstract_state
from identax.run.progress import Progress
from identax.run.results import Results
from identax.run.saved import CHECKPOINTS, check_arrays
from identax.run.session import Cadence, Session, padding
from identax.run.workdir import newest_of_all, opened
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
    number of devices. `config` is recorded and must be equal on resume, and so must be the trials, steps and cadences:
    to go on after the end is a run of its own, `after` this one.

    Raises `ValueError` before compiling for cadences that do not divide, hyper-parameters that the study's `check`
    refuses, a batch that does not divide over the data axis, more trials than memory holds, an earlier run that does
    not fit, or a workdir that is not to be written; and while training when a host batch holds NaN or the loader ends,
    after saving the steps that are done.
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
    how = _How(
        make_mesh() if mesh is None else mesh, trial_map, workdir, resume, dict(config or {}), list(sinks), progress,
        title, after, after_state,
    )  # fmt: skip
    if isinstance(study, Study):
        cadence = Cadence(log_every, evaluate_every, checkpoint_every)
        guard.check_run(study, num_steps, log_every, evaluate_every, checkpoint_every)
        if study.check is not None:
            study.check(jax.tree.map(np.asarray, trials.hparams))
        return _run_steps(study, trials, num_steps, cadence, keep_checkpoints, batches, how)
    return _run_trials(study, trials, block_size, how)


@dataclasses.dataclass(frozen=True)
class _How:
    """How trials are run, whatever they are: arguments of `run`."""

    mesh: Mesh
    trial_map: TrialMap
    workdir: Path | None
    resume: bool
    config: dict[str, Any]
    sinks: list[Any]
    progress: bool | None
    title: str
    after: Results | None
    after_state: phases.Which


def _run_steps(
    study: Study,
    trials: Trials,
    num_steps: int,
    cadence: Cadence,
    keep_checkpoints: int,
    batches: Iterable[Any] | None,
    how: _How,
) -> Results:
    """`run` for studies."""
    mesh = how.mesh
    placed = _place(trials, mesh)
    feed = Feed(None if batches is None else iter(batches), mesh)
    if how.after is not None:
        phases.check_init(study.init)
    before, failed_before = _before(how.after, how.after_state, trials, mesh)
    abstract = abstract_state(study, mesh, placed.keys, placed.hparams, before)
    if num_steps:
        example = agree(feed.example)
        guard.check_data_axis(study, abstract, example, mesh)
        agree(lambda: guard.check_memory(study, abstract, example, mesh, how.trial_map))
    settings = {"config": how.config, "num_steps": num_steps, "cadence": dataclasses.asdict(cadence)}
    settings |= phases.fingerprint(how.after, how.after_state)
    check_disk = functools.partial(guard.check_disk, abstract=abstract, keep=keep_checkpoints)
    with opened(how.workdir, settings, trials, check_disk, resume=how.resume) as folder:
        checkpoints = None if folder is None else Checkpoints(folder / CHECKPOINTS, keep=keep_checkpoints)
        found = newest_of_all(checkpoints, folder) if how.resume else None
        begin = 0 if found is None else found[0]
        with (
            Progress(num_steps, title=how.title, enabled=how.progress, start_step=begin) as display,
            StopRequest() as stop,
        ):
            programs = Programs(study, mesh, how.trial_map, display.phase, num_steps=num_steps)
            session = Session(
                programs, trials, placed, abstract, mesh, feed, cadence, folder, checkpoints, how.sinks, display,
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
    trial: HostTrial | Callable[[Any, Any], Any], trials: Trials, block_size: int | None, how: _How
) -> Results:
    """`run` for trials without steps."""
    workdir = how.workdir
    found = find_done(workdir) if how.resume else None
    done = 0 if found is None else found["done"]
    blocks = None
    if found is not None and workdir is not None and done == len(trials):
        agree(lambda: check_arrays(workdir, found["sealed"], "run") if jax.process_index() == 0 else None)
    if done < len(trials):
        earlier = None if found is None else found["block_size"]
        work = trial, trials
        if how.after is not None:
            work = phases.with_before(trial, trials, how.after, how.after_state)
        blocks = make_blocks(*work, how.mesh, how.trial_map, block_size, earlier)

    def check_disk(folder: Path) -> None:
        if blocks is not None and found is None:  # otherwise the arrays are there
            blocks.check_disk(folder)

    settings = {"config": how.config, "num_steps": 0} | phases.fingerprint(how.after, how.after_state)
    with (
        opened(workdir, settings, trials, check_disk, resume=how.resume) as folder,
        Progress(len(trials), title=how.title, enabled=how.progress, start_step=done, unit="trial") as display,
        StopRequest() as stop,
        contextlib.closing(TrialSession(blocks, trials, folder, found, how.sinks, display)) as session,
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
