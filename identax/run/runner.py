"""`run`: executes any study over many trials and devices, with records, checkpoints and progress."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from identax.run import guard
from identax.run.checkpoint import Checkpoints
from identax.run.environment import describe_environment, enable_compilation_cache
from identax.run.interrupt import Interrupted, StopRequest
from identax.run.loader import Feed
from identax.run.mesh import TrialMap, gather, make_mesh, padded_size, trial_sharding
from identax.run.program import Programs, abstract_state
from identax.run.progress import RUNNING, SAVING, Progress
from identax.run.records import Records, make_row, write_json
from identax.run.results import Results
from identax.study import State, Study, Trials


@dataclasses.dataclass(frozen=True)
class Cadence:
    """When things happen, in steps: rows every `log`, evaluation every `evaluate`, checkpoints every `checkpoint`."""

    log: int
    evaluate: int | None
    checkpoint: int | None


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
) -> Results:
    """Runs all trials of a study and returns what was measured, trials apart.

    `study` is a `Study`, or a function `trial(key, hparams) -> metrics` for work without gradient training.
    Chunks of `log_every` steps are one `scan` on the device; the metrics of a chunk are read while the next one
    runs. `evaluate_every` (default: only before the first and after the last step) and `checkpoint_every`
    (default: only at the end) are multiples of `log_every`. `batches` feeds studies that do not sample their own
    data. Trials spread over the mesh's trial axis (default: all devices) and share a device by `trial_map`.

    With a `workdir`, writes `config.json`, `records.jsonl` and `checkpoints/`; SIGTERM or SIGINT saves at the
    next chunk boundary and raises `Interrupted` (exit code 75). `resume=True` continues from the newest intact
    checkpoint, on any number of devices. `config` is recorded and must be equal on resume.

    Raises `ValueError` before compiling for cadences that do not divide, a batch that does not divide over the
    data axis, more trials than memory holds, or a workdir that is not to be written.
    """
    study = study if isinstance(study, Study) else _study_of(study)
    cadence = Cadence(log_every, evaluate_every, checkpoint_every)
    guard.check_cadences(num_steps, log_every, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    enable_compilation_cache()
    mesh = make_mesh() if mesh is None else mesh
    placed = _place(trials, mesh)
    feed = Feed(None if batches is None else iter(batches), mesh)
    abstract = abstract_state(study, mesh, placed.keys, placed.hparams)
    if num_steps:
        guard.check_data_axis(study, abstract, feed.example(), mesh)
        guard.check_memory(study, abstract, feed.example(), mesh, trial_map)
    settings = {
        "config": dict(config or {}),
        "num_steps": num_steps,
        "cadence": dataclasses.asdict(cadence),
        "seeds": np.asarray(trials.seeds).tolist(),
        "hparams": jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), trials.hparams),
    }
    folder = _open_workdir(workdir, settings, abstract, keep_checkpoints, resume=resume)
    checkpoints = None if folder is None else Checkpoints(folder / "checkpoints", keep=keep_checkpoints)
    found = checkpoints.latest() if checkpoints is not None and resume else None
    start_step = 0 if found is None else found[0]
    with Progress(num_steps, title=title, enabled=progress, start_step=start_step) as display, StopRequest() as stop:
        programs = Programs(study, mesh, trial_map, display.phase)
        session = _Session(
            programs, trials, placed, abstract, mesh, feed, cadence, folder, checkpoints, list(sinks), display
        )
        return session.run(num_steps, stop, found)


class _Session:
    """One call of `run`: holds what its loop needs."""

    def __init__(self, programs, trials, placed, abstract, mesh, feed, cadence, folder, checkpoints, sinks, display):
        self.programs, self.trials, self.placed, self.abstract = programs, trials, placed, abstract
        self.mesh, self.feed, self.cadence, self.folder = mesh, feed, cadence, folder
        self.checkpoints, self.sinks, self.display = checkpoints, sinks, display
        self.failed_at = np.zeros(len(trials), int)

    def run(self, num_steps: int, stop: StopRequest, found: tuple[int, dict[str, Any]] | None) -> Results:
        """The loop; `found` is the (step, extra) of the checkpoint to go on from."""
        begin = time.perf_counter()
        step, state, alive = self._begin(found)
        if step == 0:
            self._evaluate(state, alive, 0)
        waiting = None  # the chunk whose metrics are still on the device
        while step < num_steps:
            count = min(self.cadence.log, num_steps - step)
            state, alive, metrics = self.programs.advance(state, alive, self.feed.take(count), count)
            self._record_chunk(waiting)
            waiting = (step, count, metrics)
            step += count
            last, stopping = step == num_steps, stop.asked()
            evaluating = last or _due(step, self.cadence.evaluate)
            saving = last or stopping or _due(step, self.cadence.checkpoint)
            if evaluating or saving:
                self._record_chunk(waiting)
                waiting = None
            if evaluating:
                self._evaluate(state, alive, step)
            if saving:
                self._save(step, state, alive)
            if stopping and not last:
                self._close()
                raise Interrupted(step, saved=self.folder is not None)
        self._close()
        compiling = self.programs.compile_seconds
        return Results.from_rows(
            self.records.rows,
            trials=self.trials,
            num_steps=num_steps,
            failed_at=self.failed_at,
            state=jax.tree.map(lambda leaf: leaf[: len(self.trials)], state),
            seconds={"compile": compiling, "run": time.perf_counter() - begin - compiling},
            workdir=self.folder,
        )

    def _begin(self, found: tuple[int, dict[str, Any]] | None) -> tuple[int, Any, Any]:
        """State to start from: the checkpoint's, or a fresh one."""
        path = None if self.folder is None else self.folder / "records.jsonl"
        self.records = Records(path, last_step=None if found is None else found[0], write=jax.process_index() == 0)
        alive = jnp.ones(self.placed.keys.shape[0], bool, device=trial_sharding(self.mesh))
        if found is None or self.checkpoints is None:
            return 0, self.programs.start(self.placed.keys, self.placed.hparams), alive
        step, extra = found
        self.checkpoints.discard_after(step)
        tree = self._restore(step, extra["padded"], {"state": self.abstract, "alive": alive})
        self.failed_at = np.array(extra["failed_at"])
        self.feed.set_state(extra["loader"], step)
        return step, tree["state"], tree["alive"]

    def _restore(self, step: int, saved_size: int, abstract: Any) -> Any:
        """Restores a tree that was padded to `saved_size` trials onto this mesh's padding and sharding."""
        assert self.checkpoints is not None
        size, sharding = self.placed.keys.shape[0], trial_sharding(self.mesh)
        if saved_size == size:
            like = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), abstract)
            return self.checkpoints.restore(step, like)
        whole = NamedSharding(self.mesh, PartitionSpec())
        like = jax.tree.map(lambda s: jax.ShapeDtypeStruct((saved_size, *s.shape[1:]), s.dtype, sharding=whole), abstract)
        index = _padding(len(self.trials), size)
        regroup = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[index], tree), out_shardings=sharding)
        return regroup(self.checkpoints.restore(step, like))

    def _record_chunk(self, waiting: tuple[int, int, Any] | None) -> None:
        """Reads the metrics of a finished chunk and records them: step 1 alone, then means."""
        if waiting is None:
            return
        start, count, metrics = waiting
        values = {name: value[: len(self.trials)] for name, value in gather(metrics).items()}
        if "loss" in values:
            bad = ~np.isfinite(values["loss"])
            new = bad.any(axis=1) & (self.failed_at == 0)
            self.failed_at[new] = start + 1 + bad[new].argmax(axis=1)
        if start == 0:
            self._record("train", 1, {name: value[:, 0] for name, value in values.items()})
        means = {name: value.mean(axis=1) for name, value in values.items()}
        if start + count > 1:
            self._record("train", start + count, means)
        self.display.update(start + count, {name: mean for name, mean in means.items() if mean.ndim == 1})

    def _evaluate(self, state: Any, alive: Any, step: int) -> None:
        values = gather(self.programs.evaluate(state))
        alive = gather(alive)[: len(self.trials)]
        self.failed_at[~alive & (self.failed_at == 0)] = max(step, 1)
        values = {name: np.asarray(value[: len(self.trials)], float) for name, value in values.items()}
        for value in values.values():
            value[self.failed_at > 0] = np.nan  # its state is kept, but no table may count it
        self._record("eval", step, values)

    def _record(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        self.records.append(make_row(kind, step, values))
        for sink in self.sinks:
            sink.write(step, kind, values)

    def _save(self, step: int, state: Any, alive: Any) -> None:
        if self.checkpoints is None:
            return
        self.records.sync()
        extra = {
            "failed_at": self.failed_at.tolist(),
            "loader": self.feed.get_state(),
            "padded": self.placed.keys.shape[0],
        }
        self.display.phase(SAVING)
        self.checkpoints.save(step, {"state": state, "alive": alive}, extra)
        self.display.phase(RUNNING)


    def _close(self) -> None:
        self.records.close()
        for sink in self.sinks:
            sink.close()


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _padding(num_trials: int, size: int) -> np.ndarray:
    """Indices that fill up to `size` by repeating the last trial."""
    return np.minimum(np.arange(size), num_trials - 1)


def _place(trials: Trials, mesh: Mesh) -> Trials:
    """Puts the trials on the mesh, padded to a multiple of its trial axis."""
    padded = trials[_padding(len(trials), padded_size(len(trials), mesh))]
    sharding = trial_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(padded, sharding)
    return jax.jit(lambda tree: tree, out_shardings=sharding)(padded)


def _study_of(trial: Callable[[Any, Any], dict[str, Any]]) -> Study:
    """A study whose evaluation is the whole work."""

    def init(key, hparams):
        return State(jnp.zeros((), jnp.int32), key, None, None, None, None, hparams)

    def step(state, batch):
        raise ValueError("run: a trial function has no training steps; wanted num_steps=0")

    return Study(init, step, lambda state, key: trial(state.key, state.hparams))


def _open_workdir(workdir, settings: dict[str, Any], abstract: Any, keep: int, *, resume: bool) -> Path | None:
    """Claims the run directory and writes `config.json`, unless that is there already."""
    if workdir is None:
        if resume:
            raise ValueError("run: found resume without a workdir, wanted the folder of the run to continue")
        return None
    folder = Path(workdir).resolve()
    guard.claim_workdir(folder, settings, resume=resume)
    guard.check_disk(folder, abstract, keep)
    if jax.process_index() == 0 and not (folder / guard.CONFIG).exists():
        write_json(folder / guard.CONFIG, {"config": settings, "environment": describe_environment()})
    return folder
