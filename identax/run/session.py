"""The training loop of one call of `run`: chunks, records, evaluation, kept arrays, checkpoints, resume."""

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from identax.run.arrays import KeptArrays
from identax.run.best import BestStates
from identax.run.checkpoint import Checkpoints
from identax.run.interrupt import Interrupted, StopRequest
from identax.run.loader import Feed
from identax.run.mesh import agree, exchange, gather, trial_sharding
from identax.run.program import Programs
from identax.run.progress import SAVING, Progress
from identax.run.records import Records, make_row
from identax.run.results import WAITED, Results
from identax.run.saved import ARRAYS, RECORDS, note_saved
from identax.run.values import is_weighted, ratio
from identax.study import Trials


@dataclasses.dataclass(frozen=True)
class Cadence:
    """When things happen, in steps: rows every `log`, evaluation every `evaluate`, checkpoints every `checkpoint`."""

    log: int
    evaluate: int | None
    checkpoint: int | None


class Session:
    """One call of `run`: holds what its loop needs."""

    def __init__(
        self,
        programs: Programs,
        trials: Trials,
        placed: Trials,
        abstract: Any,
        mesh: Mesh,
        feed: Feed,
        cadence: Cadence,
        folder: Path | None,
        checkpoints: Checkpoints | None,
        sinks: list[Any],
        display: Progress,
        before: Any,
        failed_before: np.ndarray,
    ) -> None:
        self.programs, self.trials, self.placed, self.abstract = programs, trials, placed, abstract
        self.mesh, self.feed, self.cadence, self.folder = mesh, feed, cadence, folder
        self.checkpoints, self.sinks, self.display = checkpoints, sinks, display
        self.before = before
        self.failed_at = failed_before.copy()
        self.records: Records | None = None
        study = programs.study
        self.best = None if study.best is None else BestStates(study.best, len(trials))
        self.kept = KeptArrays(None if folder is None else folder / ARRAYS)

    def run(self, num_steps: int, stop: StopRequest, found: tuple[int, dict[str, Any]] | None) -> Results:
        """The loop; `found` is the (step, extra) of the checkpoint to go on from."""
        begin = time.perf_counter()
        step, state, alive = self._begin(found)
        saved = self.folder is not None
        if found is None:
            stop.answer(step, saved=saved)  # while it compiled the start; there are no rows yet
        self.feed.read_ahead(min(self.cadence.log, num_steps - step))
        if found is None:
            alive = self._evaluate(state, alive, 0, last=num_steps == 0)
            if num_steps == 0:
                self._save(0, state, alive, {}, finished=True)
        if step < num_steps and stop.asked():  # while it was evaluated or restored
            if found is None:
                self._save(step, state, alive, self.feed.get_state())
            raise Interrupted(step, saved=saved)
        waiting = None  # the chunk whose metrics are still on the device
        while step < num_steps and not self._all_stopped():
            count = min(self.cadence.log, num_steps - step)
            position = self.feed.get_state()
            try:
                take = functools.partial(self.feed.take, count, busy=functools.partial(_runs, waiting))
                batches = agree(take) if self.feed.active else None
            except ValueError:
                self._record_chunk(waiting)
                self._save(step, state, alive, position)
                raise
            state, alive, metrics, survived = self.programs.advance(state, alive, batches, count)
            self._record_chunk(waiting)
            waiting = (step, count, metrics, survived)
            step += count
            # Not earlier: the chunk that was recorded just now has freed its batches.
            self.feed.read_ahead(min(self.cadence.log, num_steps - step))
            for number, (due, _) in enumerate(self.programs.events):
                if due == step:
                    state = self.programs.intervene(state, alive, number)
            last, stopping = step == num_steps, stop.asked()
            evaluating = last or _due(step, self.cadence.evaluate)
            saving = last or stopping or _due(step, self.cadence.checkpoint)
            if evaluating or saving:
                self._record_chunk(waiting)
                waiting = None
            if evaluating:
                alive = self._evaluate(state, alive, step, last=last)
                last = last or self._all_stopped()
            if saving or last:
                self._save(step, state, alive, self.feed.get_state(), finished=last)
            if stopping and not last:
                raise Interrupted(step, saved=saved)
        assert self.records is not None
        compiling = self.programs.compile_seconds
        return Results.from_rows(
            self.records.rows,
            trials=self.trials,
            num_steps=num_steps,
            failed_at=self.failed_at,
            state=self._unpadded(state),
            seconds={"compile": compiling, "run": time.perf_counter() - begin - compiling, **self._waited()},
            workdir=self.folder,
            arrays=self.kept.load(),
            **self._of_best(),
        )

    def _all_stopped(self) -> bool:
        """Whether early stopping has left nothing to do."""
        return self.best is not None and bool(((self.best.stopped_at > 0) | (self.failed_at > 0)).all())

    def _unpadded(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[: len(self.trials)], tree)

    def _of_best(self) -> dict[str, Any]:
        if self.best is None:
            return {}
        state = self._unpadded(self.best.state)
        return {"best_step": self.best.step, "best_state": state, "stopped_at": self.best.stopped_at}

    def _begin(self, found: tuple[int, dict[str, Any]] | None) -> tuple[int, Any, Any]:
        """State to start from: the checkpoint's, or a fresh one."""
        path = None if self.folder is None else self.folder / RECORDS
        self.records = Records(path, last_step=None if found is None else found[0], write=jax.process_index() == 0)
        alive = self._place(self.failed_at == 0)
        self.kept.discard_after(-1 if found is None else found[0])
        if found is None or self.checkpoints is None:
            return 0, self.programs.start(self.placed.keys, self.placed.hparams, self.before), alive
        step, extra = found
        self.checkpoints.discard_after(step)
        position = _position(extra["loader"])
        wanted = {"state": self.abstract, "alive": alive}
        if self.best is not None:
            wanted["best"] = self.abstract
        tree = self._restore(step, extra["padded"], wanted)
        if self.best is not None:
            self.best.from_json(extra["best"], tree["best"])
        self.failed_at = np.array(extra["failed_at"])
        self.feed.set_state(position, step)
        return step, tree["state"], tree["alive"]

    def _place(self, mask: np.ndarray) -> Any:
        """A mask [T] of trials on the devices, padded."""
        padded = mask[padding(len(self.trials), self.placed.keys.shape[0])]
        return jax.make_array_from_callback(padded.shape, trial_sharding(self.mesh), lambda index: padded[index])

    def _restore(self, step: int, saved_size: int, abstract: Any) -> Any:
        """Restores a tree that was padded to `saved_size` trials onto this mesh's padding and sharding."""
        assert self.checkpoints is not None
        size, sharding = self.placed.keys.shape[0], trial_sharding(self.mesh)
        if saved_size == size:
            like = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), abstract)
            return self.checkpoints.restore(step, like)
        whole = NamedSharding(self.mesh, PartitionSpec())
        like = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct((saved_size, *s.shape[1:]), s.dtype, sharding=whole), abstract
        )
        index = padding(len(self.trials), size)
        regroup = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[index], tree), out_shardings=sharding)
        return regroup(self.checkpoints.restore(step, like))

    def _record_chunk(self, waiting: tuple[int, int, Any, Any] | None) -> None:
        """Reads the metrics of a finished chunk and records them: step 1 alone, then means."""
        if waiting is None:
            return
        start, count, *measured = waiting
        values, survived = jax.tree.map(lambda leaf: leaf[: len(self.trials)], gather(tuple(measured)))
        stopped = np.zeros(len(self.trials), bool) if self.best is None else self.best.stopped_at > 0
        if "loss" in values:
            bad = ~np.isfinite(values["loss"])
            new = bad.any(axis=1) & (self.failed_at == 0) & ~stopped
            self.failed_at[new] = start + 1 + bad[new].argmax(axis=1)
        # Every loss was finite but the parameters are not: the next loss could not be.
        self.failed_at[~survived & (self.failed_at == 0) & ~stopped] = start + count + 1
        if start == 0:
            self._record("train", 1, {name: _mean(jax.tree.map(_first, value)) for name, value in values.items()})
        means = {name: _mean(value) for name, value in values.items()}
        for mean in means.values():  # a failed or stopped trial only repeats the steps it stopped before
            mean[stopped | ((self.failed_at > 0) & (self.failed_at <= start + count))] = np.nan
        if start + count > 1:
            self._record("train", start + count, means)
        self.display.update(start + count, {name: mean for name, mean in means.items() if mean.ndim == 1})

    def _evaluate(self, state: Any, alive: Any, step: int, *, last: bool) -> Any:
        """Records an evaluation and what is kept with it; returns which trials go on."""
        values = gather(self.programs.evaluate(state))
        values = {name: self._of_survivors(np.array(value, float)) for name, value in values.items()}
        self._record("eval", step, values)
        if self.best is not None:
            self.best.look(step, values, state, self.programs, self._place)
            if self.best.best.patience is not None:
                alive = self._place((self.failed_at == 0) & (self.best.stopped_at == 0))
        self._keep(state, step, last=last or self._all_stopped())
        return alive

    def _of_survivors(self, value: np.ndarray) -> np.ndarray:
        """Values of the trials; NaN for failed ones: their state is kept, but no table may count it."""
        value = np.array(value[: len(self.trials)])
        if np.issubdtype(value.dtype, np.inexact):
            value[self.failed_at > 0] = np.nan
        return value

    def _keep(self, state: Any, step: int, *, last: bool) -> None:
        study = self.programs.study
        if study.keep is None or not (step in study.keep_at or (last and not study.keep_at)):
            return
        arrays = gather(self.programs.keep(state))
        self.kept.write(step, {name: self._of_survivors(np.asarray(value)) for name, value in arrays.items()})

    def _record(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        assert self.records is not None
        self.records.append(make_row(kind, step, values))
        if jax.process_index() == 0:
            for sink in self.sinks:
                sink.write(step, kind, values)

    def _save(self, step: int, state: Any, alive: Any, position: dict[str, Any], *, finished: bool = False) -> None:
        """Saves the state after `step` steps, when the loader was at `position`."""
        if self.checkpoints is None or self.records is None:
            return
        self.records.sync()
        extra = {
            "failed_at": self.failed_at.tolist(),
            "loader": [json.loads(text) for text in exchange(json.dumps(position))],
            "padded": self.placed.keys.shape[0],
            "rows": len(self.records.rows),
            "digest": self.records.digest,
        }
        tree = {"state": state, "alive": alive}
        if self.best is not None:
            extra["best"], tree["best"] = self.best.to_json(), self.best.state
        with self.display.during(SAVING):
            self.checkpoints.save(step, tree, extra)
            if self.folder is not None and jax.process_index() == 0:
                note_saved(self.folder, step, extra, self.kept.digests(), finished=finished)

    def _waited(self) -> dict[str, float]:
        return {WAITED: self.feed.waited} if self.feed.active else {}

    def close(self) -> None:
        """Closes the records, the sinks and the feed's thread."""
        self.feed.close()
        if self.records is not None:
            self.records.close()
        if jax.process_index() == 0:
            for sink in self.sinks:
                sink.close()


def _runs(waiting: tuple[int, int, Any, Any] | None) -> bool:
    """Whether the device still works on the chunk `waiting`."""
    return waiting is not None and not all(leaf.is_ready() for leaf in jax.tree.leaves(waiting[3]))


def _first(value: np.ndarray) -> np.ndarray:
    return value[:, :1]


def _mean(value: Any) -> np.ndarray:
    """Mean over the steps [T, k, ...] of a chunk; of a pair (sum, weight) the ratio of both sums."""
    if is_weighted(value):
        return ratio(*(part.sum(axis=1, dtype=float) for part in value))
    return value.mean(axis=1, dtype=float)


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def padding(num_trials: int, size: int) -> np.ndarray:
    """Indices that fill up to `size` by repeating the last trial."""
    return np.minimum(np.arange(size), num_trials - 1)


def _position(saved: list[dict[str, Any]]) -> dict[str, Any]:
    """This process's loader position out of those of all processes that saved."""
    if len(saved) == jax.process_count():
        return saved[jax.process_index()]
    if any(position != saved[0] for position in saved):
        raise ValueError(
            f"run: the checkpoint holds loader positions of {len(saved)} processes, found {jax.process_count()}"
        )
    return saved[0]
