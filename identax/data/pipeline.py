"""Endless shuffled batches of a data set on the host: read ahead, resumable, the same on any number of processes."""

import functools
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from identax.data._checks import integer
from identax.data.array_source import arrays

_ENDLESS = 2**40  # batches
_locks: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # of sources that are read, by their id


@runtime_checkable
class Source(Protocol):
    """What `epoch_batches` reads: `len(source)` examples, each a pytree of arrays of the same shapes.

    Where there is a method `read_batch(indices [B])` that gives B examples stacked, that is used instead.

    By default one thread at a time asks the source, and what it gives is copied before the next one does: it may fill
    the same array again. A source with `parallel = True` promises new arrays from every call, and that calls may
    run at the same time: several threads then ask it at once, and nothing is copied.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@runtime_checkable
class _Stacking(Protocol):
    def read_batch(self, indices: np.ndarray, /) -> Any: ...


class Batches(Iterator[Any]):
    """The iterator of `epoch_batches`. Its state is a position in batches, so any number of shards can take it over."""

    def __init__(self, dataset: Any, identity: dict[str, Any]) -> None:
        self._iterator: Any = iter(dataset)
        self._identity = identity

    def __next__(self) -> Any:
        return next(self._iterator)

    def get_state(self) -> dict[str, Any]:
        """Position behind the batch returned last, and what it is a position in; JSON."""
        return {"next_batch": int(self._iterator.get_state()["next_index"]), **self._identity}

    def set_state(self, state: dict[str, Any]) -> None:
        """Moves there without reading. Raises `ValueError` for a state of other batches."""
        own = {"next_batch": state.get("next_batch"), **self._identity}
        if state != own:
            differing = {name: (state.get(name), own.get(name)) for name in own if state.get(name) != own[name]}
            raise ValueError(f"epoch_batches: found a position of other batches, (there, here) differ in {differing}")
        self._iterator.set_state({"next_index": state["next_batch"]})

    def close(self) -> None:
        """Ends the reading threads."""
        self._iterator.close()


def epoch_batches(
    source: Any,
    *,
    batch_size: Any,  # integers all, refused by name where they are not
    seed: Any,
    shuffle: bool = True,
    shard: Any = (0, 1),
    num_threads: Any = 4,
    buffer_size: Any = 8,
) -> Batches:
    """Endless batches: pytrees of NumPy arrays [batch_size / count, ...], every epoch in a fresh order.

        global batch b of epoch e: positions b * batch_size ... (b + 1) * batch_size - 1 of the order (seed, e)

    The order is a permutation that depends on `seed` and the epoch alone, the same on every machine; it costs 8 bytes
    an example. The last len(source) mod batch_size of an epoch, others every epoch, sit it out. `shard` = (index,
    count) reads only the index-th of `count` equal consecutive slices of every global batch: side by side they are the
    batch, whatever `count` is. For the runner it must be `identax.run.loader.data_shard(mesh)`.

    `num_threads` threads read ahead up to `buffer_size` batches; the reading order never depends on them. They ask
    a source one at a time unless it says `parallel = True` (see `Source`), as all sources of this package do: decoding
    of images and reading of files then run beside each other, Python code does not. `get_state()` and `set_state()`
    make it resumable at once at any batch.

    A tuple or dict of arrays, an array or a table is taken as `arrays(source)`: its first axis counts the examples. A
    list is a list of examples.

    Raises `ValueError` unless 1 <= batch_size <= len(source), `count` divides it, 0 <= index < count and
    0 <= seed < 2**32, all of them integers.
    What `source[i]` raises is raised by `next`.
    """
    import grain  # half a second that only users of a pipeline pay

    source = _as_source(source)
    num = len(source)
    _check(num, batch_size, seed, shard, num_threads, buffer_size)
    batch_size, seed, (index, count) = int(batch_size), int(seed), shard  # of NumPy's types, which JSON does not know
    own, per_epoch = batch_size // count, num // batch_size
    copies = isinstance(source, _Stacking)  # _stacked has copied already
    read_batch = source.read_batch if isinstance(source, _Stacking) else functools.partial(_stacked, source)
    lock = None if getattr(source, "parallel", False) is True else _lock_of(source)

    @functools.lru_cache(maxsize=2)  # threads that read ahead straddle an epoch's end
    def order(epoch: int) -> np.ndarray:
        # RandomState, not Generator: its streams are frozen across NumPy versions.
        return np.random.RandomState([seed, epoch]).permutation(num) if shuffle else np.arange(num)

    def read(number: int) -> Any:
        epoch, batch = divmod(int(number), per_epoch)
        begin = batch * batch_size + index * own
        indices = order(epoch)[begin : begin + own].copy()  # a source may sort them
        if lock is None:
            return read_batch(indices)
        with lock:
            return jax.tree.map(np.array, read_batch(indices)) if copies else read_batch(indices)

    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=buffer_size)
    dataset = grain.MapDataset.range(_ENDLESS).map(read).to_iter_dataset(options)
    return Batches(dataset, {"num_examples": num, "batch_size": batch_size, "seed": seed, "shuffle": shuffle})


def _lock_of(source: Any) -> Any:
    """The lock of a source, one for all iterators over it, which keep both: its id is its own as long as the lock."""
    return _locks.setdefault(id(source), threading.Lock())


def _stacked(source: Any, indices: np.ndarray) -> Any:
    """Examples stacked, each copied before the next one is asked for."""
    rows, treedef = [], None
    for place, index in enumerate(indices.tolist()):
        leaves, found = jax.tree.flatten(jax.tree.map(np.asarray, source[index]))
        if treedef is None:
            treedef, rows = found, [np.empty((len(indices), *leaf.shape), leaf.dtype) for leaf in leaves]
        shapes = [leaf.shape for leaf in leaves]
        if found != treedef or shapes != [row.shape[1:] for row in rows]:
            wanted = jax.tree.unflatten(treedef, [row.shape[1:] for row in rows])
            raise ValueError(
                f"epoch_batches: found example {index} of shapes {jax.tree.unflatten(found, shapes)}, "
                f"wanted {wanted} like example {indices[0]}"
            )
        for number, leaf in enumerate(leaves):
            dtype = np.result_type(rows[number].dtype, leaf.dtype)  # of 1 and 2.5
            rows[number] = rows[number].astype(dtype, copy=False)
            rows[number][place] = leaf
    assert treedef is not None
    return jax.tree.unflatten(treedef, rows)


def _as_source(source: Any) -> Source:
    table = hasattr(source, "iloc")
    if not isinstance(source, tuple | Mapping | np.ndarray | jax.Array) and not table:
        if not isinstance(source, Source):
            raise ValueError(
                f"epoch_batches: found {type(source).__name__}, wanted arrays(x=..., ...), a list of examples or "
                "another source with len(source) and source[i]"
            )
        return source
    made = arrays(source)
    if isinstance(source, tuple) and len(jax.tree.leaves(made.tree)) > len(made):
        raise ValueError(
            f"epoch_batches: found a tuple of {len(source)} entries, {len(made)} rows in each, wanted a list of "
            "examples, or arrays(...) for arrays whose first axis counts the examples"
        )
    return made


def _check(num: int, batch_size: Any, seed: Any, shard: Any, num_threads: Any, buffer_size: Any) -> None:
    where = "epoch_batches"
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise ValueError(f"epoch_batches: found shard={shard!r}, wanted (index, count)")
    index, count = (integer(where, "shard", number) for number in shard)
    if not num:
        raise ValueError("epoch_batches: found a source of no examples, wanted at least 1")
    if not 1 <= integer(where, "batch_size", batch_size) <= num:
        raise ValueError(
            f"epoch_batches: found batch_size={batch_size}, wanted 1 to {num}, the number of examples "
            "(of arrays whose first axis counts the examples, make a source: arrays(...))"
        )
    if count < 1 or not 0 <= index < count or batch_size % count:
        raise ValueError(
            f"epoch_batches: found shard={shard} of batch_size={batch_size}, "
            "wanted 0 <= index < count and count to divide it"
        )
    if not 0 <= integer(where, "seed", seed) < 2**32:
        raise ValueError(f"epoch_batches: found seed={seed}, wanted 0 <= seed < 2**32")
    for name, number, least in (("num_threads", num_threads, 0), ("buffer_size", buffer_size, 1)):
        if integer(where, name, number) < least:
            raise ValueError(f"epoch_batches: found {name}={number}, wanted at least {least}")
