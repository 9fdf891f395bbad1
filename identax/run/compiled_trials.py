"""Blocks of trials without steps as one compiled program, whose size fits into memory."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.run import guard
from identax.run.arrays import kept_dtype
from identax.run.checkpoint import free_disk_space
from identax.run.mesh import TrialMap, exchange, gather, padded_size, place
from identax.run.program import Programs
from identax.run.trial_records import Outcome, outputs
from identax.study import Study, Trials

_AT_MOST = 64  # trials per device in a block: enough to fill it, few enough that a stop need not wait for long
_SHARE = 0.25  # of the memory that a block chosen here may need by the estimate, which is rather too low


class CompiledBlocks:
    """Runs blocks of `size` trials of `trial(key, hparams)`, spread over the mesh; the last one is padded.

    `block_size` is rounded up to the mesh's trial axis; None leaves the choice to an estimate of memory. Raises
    `ValueError` before compiling for metrics or arrays that cannot be recorded, and for what does not fit into memory.
    """

    def __init__(
        self, trial: Callable, trials: Trials, mesh: Mesh, how: TrialMap, block_size: int | None, earlier: int | None
    ) -> None:
        self._study, traceable = _as_study(trial)
        self._trials, self._mesh = trials, mesh
        self._how: TrialMap = how
        self._programs: Programs | None = None
        inputs = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (trials.keys, trials.hparams)
        )
        with jax.set_mesh(mesh):
            traced = traceable.trace(*inputs)
        for name, array in traced.out_info[1].items():
            kept_dtype(name, array.dtype)
        self._array_bytes = _bytes(traced.out_info[1])
        needs = _bytes((inputs, traced.out_info)), guard.largest_array(traced.jaxpr.jaxpr) // mesh.shape["data"]
        self.size = _block_size(block_size, earlier, len(trials), mesh, how, *needs)

    @property
    def compile_seconds(self) -> float:
        return 0.0 if self._programs is None else self._programs.compile_seconds

    def open(self, on_phase: Callable[[str], None]) -> None:
        """Gets ready to run; `on_phase(text)` hears when something compiles."""
        self._programs = Programs(self._study, self._mesh, self._how, on_phase)

    def run(self, first: int, count: int) -> Iterator[Outcome]:
        """The outcomes of the trials first ... first + count - 1, count <= size."""
        assert self._programs is not None
        index = np.minimum(np.arange(first, first + self.size), len(self._trials) - 1)
        placed = place(self._trials[index], self._mesh)
        metrics, arrays = gather(self._programs.start(placed.keys, placed.hparams))
        for row in range(count):
            yield Outcome(
                {name: value[row, ...] for name, value in metrics.items()},
                {name: value[row : row + 1] for name, value in arrays.items()},
            )

    def check_disk(self, folder: Path) -> None:
        """Raises `ValueError` when the arrays to keep will not fit on the disk."""
        needed, free = len(self._trials) * self._array_bytes, free_disk_space(folder)
        if needed > free:
            raise ValueError(
                f"run: kept arrays of {len(self._trials)} trials need {needed / 2**20:.1f} MiB, found "
                f"{free / 2**20:.1f} MiB free on the disk of {folder}"
            )


@functools.lru_cache(maxsize=64)  # the same function gives the same study, which compiles once
def _as_study(trial: Callable) -> tuple[Study, Any]:
    """A study whose start is the whole work, and its start as JAX traces it."""

    def start(key, hparams):
        return outputs(trial(key, hparams), "trial")

    def no_steps(*_):
        raise AssertionError("a trial function has no steps")

    return Study(start, no_steps, no_steps), jax.jit(start)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _block_size(
    given: int | None, earlier: int | None, total: int, mesh: Mesh, how: TrialMap, own: int, largest: int
) -> int:
    """Trials of a block, a multiple of the mesh's trial axis: given, as `earlier` in this run, or what memory holds.

    A trial needs its `own` bytes in and out, and the `largest` array once for each that runs at the same time.
    """
    groups = mesh.shape["trial"]
    most = padded_size(total, mesh) // groups
    available = _available(mesh)

    def needed(per_device: int) -> int:
        return per_device * own + (per_device if how == "vmap" else 1) * largest

    def refuse(what: str, per_device: int, instead: str) -> None:
        raise ValueError(
            f"run: {what} at least {needed(per_device) / 2**30:.2f} GiB per device, found {available / 2**30:.2f} GiB "
            f"free; {instead}"
        )

    if needed(1) > available:
        refuse("one trial alone needs", 1, "wanted a smaller trial, or more memory")
    fitting = max((n for n in range(1, most + 1) if needed(n) <= available), default=1)
    if given is not None:
        per_device = min(padded_size(given, mesh) // groups, most)
        if per_device > fitting:
            refuse(
                f"blocks of {per_device * groups} trials need", per_device, f"wanted block_size <= {fitting * groups}"
            )
        return per_device * groups
    if earlier is not None and earlier % groups == 0 and earlier // groups <= fitting:
        return earlier  # the same program as before, so that a resumed run is the uninterrupted one bit for bit
    chosen = max((n for n in range(1, min(most, _AT_MOST) + 1) if needed(n) <= _SHARE * available), default=1)
    return -(-most // -(-most // chosen)) * groups  # blocks of about equal size, so that little is padding


def _available(mesh: Mesh) -> float:
    """Bytes free for one device; of several processes the least, so that all make the same blocks."""
    own = guard.bytes_available(mesh)
    return min(float(text) for text in exchange("inf" if own is None else str(own)))
