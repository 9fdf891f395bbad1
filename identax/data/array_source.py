"""A user's own arrays as a source of examples: checked once, split by a seed, on the host or on the device."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.data._checks import indices_of, name_of, rows_of, whole
from identax.data._columns import as_leaf
from identax.data.batches import epoch_indices, take


@dataclasses.dataclass(frozen=True)
class ArraySource:
    """Examples that lie in arrays, made by `arrays`; for `epoch_batches`, or for `batch` inside a step.

    `tree` holds the arrays of all examples, `rows` says which of them are this source's (None: all).
    """

    tree: Any
    rows: np.ndarray | None = None

    parallel = True  # for epoch_batches: reading makes new arrays

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.tree)[0]) if self.rows is None else len(self.rows)

    def __getitem__(self, index: int, /) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"arrays: found index {index}, wanted 0 to {len(self) - 1}")
        return jax.tree.map(lambda leaf: leaf[0], self.read_batch(np.array([index])))

    def __repr__(self) -> str:
        parts = [
            f"{name_of(path)}: {leaf.dtype} {leaf.shape[1:]}"
            for path, leaf in jax.tree_util.tree_leaves_with_path(self.tree)
        ]
        return f"ArraySource({len(self)} examples of {', '.join(parts)})"

    def read_batch(self, indices: Any, /) -> Any:
        """The examples `indices` [B], stacked, as NumPy arrays; raises `ValueError` for such as are not there."""
        indices = indices_of("ArraySource.read_batch", indices, len(self))
        chosen = indices if self.rows is None else self.rows[indices]
        return jax.tree.map(lambda leaf: np.asarray(leaf[chosen]), self.tree)

    def all(self) -> Any:
        """All examples of this source, arrays [N, ...], for an evaluation on held-out data; a mapped file is read."""
        if self.rows is None:
            return self.tree
        return jax.tree.map(lambda leaf: leaf[self.rows], self.tree)

    def part(self, rows: Any) -> "ArraySource":
        """The examples `rows` alone: different indices, or a boolean mask [N]. Raises `ValueError` for any other."""
        chosen = rows_of("ArraySource.part", rows, len(self))
        whole_set = chosen if self.rows is None else self.rows[chosen]
        if isinstance(jax.tree.leaves(self.tree)[0], jax.Array):
            return ArraySource(jax.tree.map(lambda leaf: leaf[whole_set], self.tree))
        return ArraySource(self.tree, whole_set)

    def split(
        self, *, validation: Any, test: Any = None, seed: int = 0, stratify: Any = None
    ) -> "tuple[ArraySource, ...]":
        """(train, validation), or (train, validation, test): disjoint parts that together are all examples.

        `validation` and `test` are proportions (0.2; rounded to whole examples) or numbers of examples (200), the rest
        is `train`. The parts depend on `seed` and the number of examples alone, and with `stratify`, the name of an
        array of classes or classes [N], on those: each class then divides like the whole, but for one example.
        Examples that belong together (frames of one video) can end on both sides: give their `part`s yourself then.
        Raises `ValueError` for parts that are empty or more than there is, floats as classes, and a class with fewer
        members than there are parts.
        """
        num = len(self)
        given = {"validation": validation} if test is None else {"validation": validation, "test": test}
        sizes = [_size(name, size, num) for name, size in given.items()]
        if sum(sizes) >= num:
            raise ValueError(
                f"ArraySource.split: found parts of {sizes} of {num} examples, wanted some left to train on"
            )
        classes = np.zeros(num, int) if stratify is None else self._classes(stratify, len(sizes) + 1)
        # RandomState, not Generator: its streams are frozen across NumPy versions.
        order = np.random.RandomState(whole("ArraySource.split", "seed", seed, 0, 2**32 - 1)).permutation(num)
        part = np.zeros(num, int)
        for number, size in enumerate(sizes, 1):
            free = order[part[order] == 0]
            part[_stratified(free, classes, size)] = number
        return tuple(self.part(np.flatnonzero(part == number)) for number in range(len(sizes) + 1))

    def on_device(self) -> "ArraySource":
        """The same examples, copied into the device's memory; `epoch_batches` is then not needed, see `batch`."""
        return ArraySource(jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), self.all()))

    def batch(self, key: Any, step: Any, *, batch_size: Any) -> Any:
        """Batch `step` (0-based) of epochs shuffled by `key`, as `epoch_indices` has them; pure, for a study's step.

        With a trial's key every trial has an order of its own: `sample=lambda state, key: data.batch(stream(state.key,
        "epochs"), state.step, batch_size=64)`. Raises `ValueError` where the arrays are not on the device.
        """
        if not isinstance(jax.tree.leaves(self.tree)[0], jax.Array):
            raise ValueError("ArraySource.batch: found arrays on the host, wanted them on the device: call on_device()")
        return take(self.tree, epoch_indices(key, step, num_examples=len(self), batch_size=batch_size))

    def _classes(self, stratify: Any, parts: int) -> np.ndarray:
        """Numbers [N] of the classes."""
        named = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(self.tree)}
        if isinstance(stratify, str):
            if stratify not in named:
                raise ValueError(f"ArraySource.split: found stratify={stratify!r}, wanted one of {sorted(named)}")
            labels = np.asarray(named[stratify] if self.rows is None else named[stratify][self.rows])
        else:
            labels = np.asarray(stratify)
        if labels.shape != (len(self),) or labels.dtype.kind not in "biuUS":
            raise ValueError(
                f"ArraySource.split: found stratify of {labels.dtype} {labels.shape}, "
                f"wanted classes ({len(self)},): integers, booleans or texts"
            )
        values, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if counts.min() < parts:
            raise ValueError(
                f"ArraySource.split: found {counts.min()} examples of class {values[counts.argmin()]}, "
                f"wanted at least one for each of {parts} parts"
            )
        return classes


def arrays(*data: Any, **named: Any) -> ArraySource:
    """A source out of arrays [N, ...] whose first axis counts the same examples.

        arrays(x=x, x_pos=x_pos)    examples {"x": ..., "x_pos": ...};  arrays({"x": x, ...}) is the same
        arrays((x, x_pos))          examples (x, x_pos);  arrays(x, x_pos) is the same
        arrays(x)                   examples that are rows of x

    Dicts and tuples may be nested (a `Sample`). Arrays are NumPy's or JAX's, lists, or pandas columns and tables; files
    that are mapped (`numpy.load(path, mmap_mode="r")`) stay on the disk and are read, and looked at, batch by batch.
    Nothing is copied: do not write to the arrays while they are in use.

    Raises `ValueError`, naming the array, for unequal lengths, no examples, anything but numbers and booleans, NaN and
    infinity, and numbers that the device's dtype changes: integers beyond int32, floats beyond float32 or so far from
    zero that float32 leaves less than 256 steps to a standard deviation (centre them, or switch on jax_enable_x64).
    """
    if bool(data) == bool(named):
        found = "arrays with and without names" if data else "no arrays"
        raise ValueError(f"arrays: found {found}, wanted arrays(x=..., x_pos=...) or arrays(x, x_pos)")
    given = named or (data[0] if len(data) == 1 else data)
    if isinstance(given, ArraySource):
        return given
    tree = jax.tree_util.tree_map_with_path(as_leaf, _plain(given), is_leaf=_is_leaf)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if not leaves:
        raise ValueError("arrays: found no arrays, wanted at least one")
    (first, one), *others = [(name_of(path), len(leaf)) for path, leaf in leaves]
    for name, length in others:
        if length != one:
            raise ValueError(f"arrays: found {one} examples in {first} and {length} in {name}, wanted as many in each")
    return ArraySource(tree)


def _plain(node: Any) -> Any:
    """Any kind of mapping as a dict, which JAX knows."""
    return {str(name): _plain(value) for name, value in node.items()} if isinstance(node, Mapping) else node


def _is_leaf(node: Any) -> bool:
    """What is an array though JAX looks into it, or past it: lists, tuples of numbers, None (refused by name)."""
    numbers = isinstance(node, tuple) and bool(node) and all(np.isscalar(entry) for entry in node)
    return numbers or node is None or isinstance(node, list)


def _size(name: str, size: Any, num: int) -> int:
    if isinstance(size, float | np.floating) and 0 < size < 1:
        size = round(float(size) * num)
        if size:
            return size
        raise ValueError(f"ArraySource.split: found {name} of none of {num} examples, wanted at least 1")
    return whole("ArraySource.split", name, size, 1, num - 1, "or a proportion between 0 and 1")


def _stratified(free: np.ndarray, classes: np.ndarray, size: int) -> np.ndarray:
    """`size` of the examples `free`, the first of each class: its share, rounded so that they add up to `size`."""
    counts = np.bincount(classes[free])
    share, rest = np.divmod(counts * size, len(free))
    share[np.lexsort((counts, -rest))[: size - share.sum()]] += 1  # of equal rests the rarer class gets one
    by_class = free[np.argsort(classes[free], kind="stable")]
    place = np.arange(len(free)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the class
    return by_class[place < share[classes[by_class]]]
