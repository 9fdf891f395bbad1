"""The loop of one call of `run` for trials without steps: blocks, rows as trials finish, kept arrays, stop, resume."""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.run.arrays import KeptArrays
from identax.run.compiled_trials import CompiledBlocks
from identax.run.host_trials import HostBlocks
from identax.run.interrupt import StopRequest
from identax.run.mesh import TrialMap, agree, exchange
from identax.run.progress import Progress
from identax.run.results import Results
from identax.run.trial_records import Outcome, TrialRecords, first_metrics, read_done, trial_history, trial_row
from identax.study import HostTrial, Trials

Blocks = CompiledBlocks | HostBlocks


def find_done(folder: Path | None) -> dict[str, Any] | None:
    """What is done already in the folder of a run that goes on, as process 0 sees it. Raises like `read_done`."""

    def look():
        return json.dumps(read_done(folder) if folder is not None and jax.process_index() == 0 else None)

    return json.loads(exchange(agree(look))[0])


def make_blocks(
    trial: HostTrial | Callable[[Any, Any], Any],
    trials: Trials,
    mesh: Mesh,
    how: TrialMap,
    block_size: int | None,
    earlier: int | None,
) -> Blocks:
    """How the trials are computed; `earlier` is the size of the blocks that a run that goes on began with."""
    if isinstance(trial, HostTrial):
        return HostBlocks(trial, trials, block_size)
    return CompiledBlocks(trial, trials, mesh, how, block_size, earlier)


class TrialSession:
    """One call of `run`: holds what its loop needs. `blocks` is None for a run that is done, `found` of `find_done`."""

    def __init__(
        self,
        blocks: Blocks | None,
        trials: Trials,
        folder: Path | None,
        found: Mapping[str, Any] | None,
        sinks: list[Any],
        display: Progress,
    ) -> None:
        self.blocks, self.trials, self.folder, self.sinks, self.display = blocks, trials, folder, sinks, display
        self.records = TrialRecords(folder, found)
        self.kept = KeptArrays(None if folder is None else folder / "arrays")
        self.names: list[str] | None = None if found is None else found["arrays"]  # of what is kept; None: not known
        agree(self._check_arrays)
        _, values = trial_history(self.records.rows)
        self.shown = {name: self._column(value[:, 0]) for name, value in values.items() if value.ndim == 2}

    def run(self, stop: StopRequest) -> Results:
        """The loop."""
        begin, done, total = time.perf_counter(), len(self.records.rows), len(self.trials)
        blocks = self.blocks
        if blocks is not None:
            blocks.open(self.display.phase)
        while blocks is not None and done < total:
            stop.answer(done, saved=self.folder is not None, trials=total)
            count = min(blocks.size, total - done)
            outcomes = []
            for number, outcome in enumerate(blocks.run(done, count), done):
                self._record(number, outcome)
                outcomes.append(outcome)
            self._tell_failures(done, outcomes)
            self.kept.flush()
            done += count
            sealed = self.kept.digests(everything=True) if done == total else {}
            self.records.commit(block_size=blocks.size, arrays=self.names, sealed=sealed)
        compiling = 0.0 if blocks is None else blocks.compile_seconds
        results = Results.from_rows(
            self.records.rows,
            trials=self.trials,
            num_steps=0,
            failed_at=np.array([int("failed" in row) for row in self.records.rows]),
            state=None,
            seconds={"compile": compiling, "run": time.perf_counter() - begin - compiling},
            workdir=self.folder,
            arrays=self.kept.load(),
        )
        if blocks is not None and jax.process_index() == 0:
            for sink in self.sinks:
                sink.write(0, "eval", {name: value[:, 0] for name, value in results.evaluation.items()})
        return results

    def _record(self, number: int, outcome: Outcome) -> None:
        """A row for a trial that has just finished, and what it keeps."""
        if outcome.failed:
            self.kept.blank_row(0, number)
        else:
            self._check_names(number, outcome)
            self.kept.write_rows(0, len(self.trials), number, outcome.arrays)
        self.records.append(trial_row(number, int(np.asarray(self.trials.seeds)[number]), outcome))
        for name, value in outcome.metrics.items():
            if np.ndim(value) == 0:
                self.shown.setdefault(name, self._column(np.zeros(0)))[number] = value
        self.display.update(number + 1, {name: values[: number + 1] for name, values in self.shown.items()})

    def _check_names(self, number: int, outcome: Outcome) -> None:
        """A trial must return what the first one did, which only code on the host can break."""
        wanted = {name: np.shape(value) for name, value in first_metrics(self.records.rows).items()}
        found = {name: np.shape(value) for name, value in outcome.metrics.items()}
        if wanted and found != wanted:
            raise ValueError(
                f"run: trial {number} returned metrics {_shapes(found)}, wanted {_shapes(wanted)} as before"
            )
        if self.names is not None and sorted(outcome.arrays) != self.names:
            raise ValueError(
                f"run: trial {number} returned arrays {sorted(outcome.arrays)}, wanted {self.names} as before"
            )
        self.names = sorted(outcome.arrays)

    def _check_arrays(self) -> None:
        if not self.records.rows:
            self.kept.discard_after(-1)  # left by a run that was killed in its first block
        lost = sorted(set(self.names or ()) - set(self.kept.load()))
        if lost:
            raise ValueError(f"run: {self.folder} lacks the kept array {lost[0]!r}; wanted what the run wrote there")

    def _tell_failures(self, first: int, outcomes: list[Outcome]) -> None:
        failed = [(number, outcome) for number, outcome in enumerate(outcomes, first) if outcome.failed]
        if first == 0 and len(failed) == len(outcomes):  # more likely a mistake than bad luck
            others = f", and so did all {len(outcomes)} of the first block" if len(outcomes) > 1 else ""
            raise ValueError(f"run: trial 0 failed{others}: {outcomes[0].failed}") from outcomes[0].error
        if jax.process_index() == 0:
            for number, outcome in failed:
                seed = np.asarray(self.trials.seeds)[number]
                warnings.warn(f"trial {number} (seed {seed}) failed: {outcome.failed}", RuntimeWarning, stacklevel=4)

    def _column(self, known: np.ndarray) -> np.ndarray:
        column = np.full(len(self.trials), np.nan)
        column[: len(known)] = known
        return column

    def close(self) -> None:
        """Closes the records and the sinks."""
        self.records.close()
        if jax.process_index() == 0:
            for sink in self.sinks:
                sink.close()


def _shapes(found: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" if shape else name for name, shape in sorted(found.items())) or "nothing"
