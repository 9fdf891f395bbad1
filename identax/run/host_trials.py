"""Blocks of trials that JAX cannot trace: called one by one on the host, shared out among processes."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from identax.run.arrays import as_kept
from identax.run.mesh import exchange
from identax.run.progress import RUNNING
from identax.run.trial_records import Outcome, outputs
from identax.study import HostTrial, Trials


class HostBlocks:
    """Runs blocks of `size` trials on the host: `block_size`, or one trial per process.

    A trial that raises `ValueError` or `ArithmeticError` is a failed one, anything else is raised. What a trial returns
    and no record can hold is refused with a `ValueError` that names it.
    """

    compile_seconds = 0.0

    def __init__(self, host: HostTrial, trials: Trials, block_size: int | None) -> None:
        self._trial, self._keys = host.trial, trials.keys
        self._hparams = jax.tree.map(np.asarray, trials.hparams)
        self.size = min(block_size or jax.process_count(), len(trials))

    def open(self, on_phase: Callable[[str], None]) -> None:
        """Says that trials run."""
        on_phase(RUNNING)

    def run(self, first: int, count: int) -> Iterator[Outcome]:
        """The outcomes of the trials first ... first + count - 1; of one process each as it finishes."""
        if jax.process_count() == 1:
            yield from (self._one(number) for number in range(first, first + count))
            return
        own = range(first + jax.process_index(), first + count, jax.process_count())
        shared = [iter(part) for part in _exchanged(lambda: (self._one(number) for number in own))]
        for place in range(count):
            yield next(shared[place % jax.process_count()])

    def check_disk(self, folder: Path) -> None:
        """Nothing to say: what a host trial keeps is not known before it ran."""

    def _one(self, number: int) -> Outcome:
        # Copies: a trial may change what it is given.
        hparams = jax.tree.map(lambda leaf: leaf[number].copy(), self._hparams)
        try:
            returned = self._trial(self._keys[number], hparams)
        except (ValueError, ArithmeticError) as error:
            return Outcome({}, {}, f"{type(error).__name__}: {error}", error)
        metrics, arrays = outputs(returned, f"trial {number}")
        rows = {
            name: as_kept(name, value[None] if hasattr(value, "dtype") else [value]) for name, value in arrays.items()
        }
        return Outcome({name: np.asarray(value) for name, value in metrics.items()}, rows)


def _exchanged(work: Callable[[], Iterator[Outcome]]) -> list[list[Outcome]]:
    """The outcomes of all processes, in their order; what one of them raises ends all of them.

    Each is encoded before the next trial runs, which may return the same arrays, filled again.
    """
    found, fault = [], None
    try:
        found = [_to_json(one) for one in work()]
    except Exception as error:
        fault = error
    said = {"fault": fault and f"{type(fault).__name__}: {fault}", "outcomes": found}
    everything = [json.loads(text) for text in exchange(json.dumps(said))]
    if fault is not None:
        raise fault
    for process, other in enumerate(everything):
        if other["fault"] is not None:
            raise RuntimeError(f"run: a trial of process {process} raised {other['fault']}")
    return [[_from_json(one) for one in part["outcomes"]] for part in everything]


def _to_json(outcome: Outcome) -> dict[str, Any]:
    def encoded(arrays: Any) -> dict[str, Any]:
        return {name: _encoded(np.asarray(value)) for name, value in arrays.items()}

    return {"metrics": encoded(outcome.metrics), "arrays": encoded(outcome.arrays), "failed": outcome.failed}


def _encoded(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "V":  # bfloat16 and its like, which records hold as floats
        array = array.astype(float)
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _from_json(said: dict[str, Any]) -> Outcome:
    def decoded(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
        return {
            name: np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
            for name, (dtype, shape, text) in arrays.items()
        }

    return Outcome(decoded(said["metrics"]), decoded(said["arrays"]), said["failed"])
