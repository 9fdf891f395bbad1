"""The training loop of one call of `run`: chunks, records, evaluation, checkpoints, resume."""

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from identax.run.checkpoint import Checkpoints
from identax.run.interrupt import Interrupted, StopRequest
from identax.run.loader import Feed
from identax.run.mesh import agree, exchange, gather, trial_sharding
from identax.run.program import Programs
from identax.run.progress import SAVING, Progress
from identax.run.records import Records, make_row
from identax.run.results import WAITED, Results
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
    ) -> None:
        self.programs, self.trials, self.placed, self.abstract = programs, trials, placed, abstract
        self.mesh, self.feed, self.cadence, self.folder = mesh, feed, cadence, folder
        self.checkpoints, self.sinks, self.display = checkpoints, sinks, display
        self.failed_at = np.zeros(len(trials), int)
        self.records: Records | None = None

    def run(self, num_steps: int, stop: StopRequest, found: tuple[int, dict[str, Any]] | None) -> Results:
        """The loop; `found` is the (step, extra) of the checkpoint to go on from."""
        begin = time.perf_counter()
        step, state, alive = self._begin(found)
        self.feed.read_ahead(min(self.cadence.log, num_steps - step))
        if found is None:
            self._evaluate(state, 0)
            if num_steps == 0:
                self._save(0, state, alive, {})
        waiting = None  # the chunk whose metrics are still on the device
        while step < num_steps:
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
                self._evaluate(state, step)
            if saving:
                self._save(step, state, alive, self.feed.get_state())
            if stopping and not last:
                raise Interrupted(step, saved=self.folder is not None)
        assert self.records is not None
        compiling = self.programs.compile_seconds
        return Results.from_rows(
            self.records.rows,
            trials=self.trials,
            num_steps=num_steps,
            failed_at=self.failed_at,
            state=jax.tree.map(lambda leaf: leaf[: len(self.trials)], state),
            seconds={"compile": compiling, "run": time.perf_counter() - begin - compiling, **self._waited()},
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
        position = _position(extra["loader"])
        tree = self._restore(step, extra["padded"], {"state": self.abstract, "alive": alive})
        self.failed_at = np.array(extra["failed_at"])
        self.feed.set_state(position, step)
        return step, tree["state"], tree["alive"]

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
        if "loss" in values:
            bad = ~np.isfinite(values["loss"])
            new = bad.any(axis=1) & (self.failed_at == 0)
            self.failed_at[new] = start + 1 + bad[new].argmax(axis=1)
        # Every loss was finite but the parameters are not: the next loss could not be.
        self.failed_at[~survived & (self.failed_at == 0)] = start + count + 1
        if start == 0:
            self._record("train", 1, {name: value[:, 0] for name, value in values.items()})
        means = {name: value.mean(axis=1, dtype=float) for name, value in values.items()}
        for mean in means.values():  # a failed trial only repeats the steps that failed
            mean[(self.failed_at > 0) & (self.failed_at <= start + count)] = np.nan
        if start + count > 1:
            self._record("train", start + count, means)
        self.display.update(start + count, {name: mean for name, mean in means.items() if mean.ndim == 1})

    def _evaluate(self, state: Any, step: int) -> None:
        values = gather(self.programs.evaluate(state))
        values = {name: np.array(value[: len(self.trials)], float) for name, value in values.items()}
        for value in values.values():
            value[self.failed_at > 0] = np.nan  # its state is kept, but no table may count it
        self._record("eval", step, values)

    def _record(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        assert self.records is not None
        self.records.append(make_row(kind, step, values))
        if jax.process_index() == 0:
            for sink in self.sinks:
                sink.write(step, kind, values)

    def _save(self, step: int, state: Any, alive: Any, position: dict[str, Any]) -> None:
        """Saves the state after `step` steps, when the loader was at `position`."""
        if self.checkpoints is None or self.records is None:
            return
        self.records.sync()
        extra = {
            "failed_at": self.failed_at.tolist(),
            "loader": [json.loads(text) for text in exchange(json.dumps(position))],
            "padded": self.placed.keys.shape[0],
            "rows": len(self.records.rows),
        }
        with self.display.during(SAVING):
            self.checkpoints.save(step, {"state": state, "alive": alive}, extra)

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
