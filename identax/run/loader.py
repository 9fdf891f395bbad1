"""Feeds host batches to the device in chunks, one chunk ahead; remembers where it is and how long the device waited."""

import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from identax.run.guard import check_batch
from identax.run.program import batch_sharding

_LOOK_EVERY = 1e-3  # seconds: how finely waiting is measured


def data_shard(mesh: Mesh) -> tuple[int, int]:
    """(index, count): which of `count` equal slices of every global batch this process's loader must yield.

    It is what this process's devices hold of the mesh's data axis: (0, 1), the whole batch, where they span it.
    Raises `ValueError` if they hold columns that are no such slice.
    """
    owners = np.array([[device.process_index for device in row] for row in mesh.devices])
    return _shard_of(owners, jax.process_index())


def _shard_of(owners: np.ndarray, process: int) -> tuple[int, int]:
    """The shard of `process` where `owners` [trial, data] says whose each device is."""
    data = owners.shape[1]
    columns = np.flatnonzero((owners == process).any(axis=0))
    size = len(columns)
    if not size:
        return 0, 1  # none of this mesh's devices are its own
    if data % size or columns[0] % size or columns[-1] - columns[0] != size - 1:
        raise ValueError(
            f"data_shard: process {process} holds columns {columns.tolist()} of {data} on the data axis, "
            "wanted neighbours, as many on every process"
        )
    return int(columns[0]) // size, data // size


class Feed:
    """Stacks batches of a host iterator for the advance program, reading ahead in a thread of its own.

    `batches` yields pytrees of NumPy arrays [N, ...], always of the same shapes and dtypes: this process's share of the
    global batch (see `data_shard`), which is all of it where this process's devices hold the whole data axis. All
    trials see the same batch. A batch is copied where it is taken, so that the iterator may fill the same arrays again.
    An iterator with `get_state()` and `set_state()` (grain's have both) is resumed by them, any other by skipping.
    `waited` counts the seconds in which the device had nothing to do but wait.
    """

    def __init__(self, batches: Iterator | None, mesh: Mesh) -> None:
        self._batches: Any = batches
        self._sharding = batch_sharding(mesh)
        self._mesh = mesh
        self._held: list[Any] = []  # what example() looked at, a chunk of one batch, and the position before it
        self._before_held: dict[str, Any] = {}
        self._kinds: Any = None  # shapes and dtypes of every batch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="identax-feed")
        self._ahead: tuple[int, Future, dict[str, Any]] | None = None  # count, chunk, and the position before it
        self._closing = False
        self.waited = 0.0

    @property
    def active(self) -> bool:
        """Whether there is a loader at all."""
        return self._batches is not None

    def example(self) -> Any:
        """Shapes of one global batch (None where the study samples for itself), without consuming it."""
        if self._batches is None:
            return None
        return jax.eval_shape(lambda stacked: jax.tree.map(lambda leaf: leaf[0], stacked), self._place(self._peek()))

    def read_ahead(self, count: int) -> None:
        """Begins to read the next `count` batches and to place them, while the device works on others.

        Until `take(count)` hands them out the position stays before them. An error is raised there.
        """
        if self._batches is None or self._ahead is not None or count < 1:
            return
        position = self.get_state()
        self._ahead = count, self._thread.submit(self._read, count, _double()), position

    def take(self, count: int, *, busy: Callable[[], bool] = lambda: False) -> Any:
        """Next `count` batches, stacked [count, N, ...] on the device; None without an iterator.

        `busy()` says whether the device still works; the time that passes here when it does not counts as `waited`.
        """
        if self._batches is None:
            return None
        self.read_ahead(count)
        assert self._ahead is not None
        found, chunk, _ = self._ahead
        if found != count:
            raise ValueError(f"Feed.take: found {found} batches read ahead, wanted {count}")
        idle_since = None
        while not chunk.done():
            if idle_since is None and not busy():
                idle_since = time.perf_counter()
            try:
                chunk.exception(timeout=None if idle_since is not None else _LOOK_EVERY)
            except TimeoutError:
                pass
        if idle_since is not None:
            self.waited += time.perf_counter() - idle_since
        try:
            return chunk.result()
        finally:
            self._ahead = None

    def close(self) -> None:
        """Ends the thread; what it read ahead is dropped."""
        self._closing = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._ahead = None

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs, as JSON: the position behind the batches taken."""
        if self._batches is None or not hasattr(self._batches, "get_state"):
            return {}
        if self._ahead is not None:
            return self._ahead[2]
        if self._held:
            return self._before_held
        state = self._batches.get_state()
        # Latin-1 maps every byte to one character and back.
        return {"bytes": state.decode("latin-1")} if isinstance(state, bytes) else {"json": state}

    def set_state(self, state: dict[str, Any], step: int) -> None:
        """Moves to the position after `step` batches; nothing may have been read ahead."""
        if self._batches is None:
            return
        assert self._ahead is None
        if state:
            if not hasattr(self._batches, "set_state"):
                raise ValueError("run: the checkpoint holds a loader's position, but this loader has no set_state()")
            self._held.clear()
            bytes_ = state.get("bytes")
            self._batches.set_state(state["json"] if bytes_ is None else bytes_.encode("latin-1"))
            return
        warnings.warn(f"the loader cannot be set to a position: reading {step} batches to skip them", stacklevel=3)
        for _ in range(step):
            self._next()

    def _peek(self) -> Any:
        if not self._held:
            self._before_held = self.get_state()
            self._held.append(self._chunk(1))
        return self._held[0]

    def _next(self) -> Any:
        if self._held:
            return jax.tree.map(lambda leaf: leaf[0], self._held.pop())
        try:
            return next(self._batches)
        except StopIteration:
            raise ValueError("run: the loader ended before num_steps; wanted one batch per step (repeat it)") from None

    def _read(self, count: int, x64: bool) -> Any:
        with jax.enable_x64(x64):  # a setting of the thread, not of the process
            chunk = self._chunk(count)
            return None if chunk is None else self._place(chunk)

    def _chunk(self, count: int) -> Any:
        """The next `count` batches, each copied into its row of new arrays before the next one is asked for."""
        rows, treedef = [], None
        for row in range(count):
            if self._closing:
                return None
            batch = self._checked(self._next())
            if treedef is None:
                treedef, kinds = self._kinds
                rows = [np.empty((count, *shape), dtype) for shape, dtype in kinds]
            for (path, leaf), place in zip(jax.tree_util.tree_leaves_with_path(batch), rows, strict=True):
                _copy(path, leaf, place[row])
        return None if treedef is None else jax.tree.unflatten(treedef, rows)

    def _checked(self, batch: Any) -> Any:
        """The batch as NumPy arrays, of which nothing is copied yet."""
        batch = jax.tree_util.tree_map_with_path(_as_array, batch)
        check_batch(batch, self._mesh)
        leaves, treedef = jax.tree.flatten(batch)
        kinds = treedef, [(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)) for leaf in leaves]
        if self._kinds is None and not all(leaf.size for leaf in leaves):
            raise ValueError(f"run: found a batch of shapes {_described(kinds)}, wanted at least one example")
        self._kinds = kinds if self._kinds is None else self._kinds
        if kinds != self._kinds:
            found, wanted = _described(kinds), _described(self._kinds)
            raise ValueError(f"run: found a batch of shapes {found}, wanted {wanted} like the one before")
        return batch

    def _place(self, chunk: Any) -> Any:
        # A CPU may go on using the very arrays that it is given: these are new, and nobody writes to them again.
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(self._sharding, leaf), chunk)


def _as_array(path: Any, leaf: Any) -> np.ndarray:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_):
        return np.asarray(leaf)
    raise ValueError(f"run: {_name(path)} holds {dtype}, wanted numbers or booleans")


def _copy(path: Any, leaf: np.ndarray, place: np.ndarray) -> None:
    """Fills `place`, of the dtype that the device has for the leaf's; raises `ValueError` for what that cannot hold."""
    with np.errstate(over="ignore"):
        place[...] = leaf
    if place.dtype == leaf.dtype:
        return
    lost = ~np.isfinite(place) if place.dtype.kind in "fc" else place != leaf
    if lost.any():
        raise ValueError(
            f"run: {_name(path)} holds {leaf[lost][0]}, wanted values that {place.dtype} holds (or jax_enable_x64)"
        )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path) or "batch"


def _described(kinds: Any) -> Any:
    """A batch with (shape, dtype) in the place of its arrays."""
    return jax.tree.unflatten(kinds[0], [f"{dtype} {shape}" for shape, dtype in kinds[1]])


def _double() -> bool:
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64
