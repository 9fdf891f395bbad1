"""A random window of an array of weights, drawn and acted on: what is static of it, and what it does.

Only a part of static size that surely holds the window is read, drawn for and written: with p and c traced, the
largest c that may come bounds it. The random words that say where a window lies come at once, so that many leaves can
draw together; those of a reordered window's entries only where it acts.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.rng import stream
from identax.transforms._layout import output_back, output_first
from identax.transforms._words import ENTRIES, below, unit_interval, words


@dataclasses.dataclass(frozen=True)
class Redraw:
    """A sparse rectangle of the matrix [units, b, rest] redrawn.

    `units`: how many output units; `drawn`, `reach`: sizes that starts and lengths are drawn for, and the largest
    length on each of the two axes; `sizes`: of the matrix.
    """

    layout: str
    units: int
    drawn: tuple[int, int]
    reach: tuple[int, int]
    sizes: tuple[int, int, int]

    @property
    def extent(self) -> tuple[int, int, int]:
        """Of the part that holds the rectangle, which has one entry more than its length says."""
        down, across = (min(size, most + 1) for size, most in zip(self.sizes[:2], self.reach, strict=True))
        return down, across, self.sizes[2]

    @property
    def num_words(self) -> int:
        """Two starts and two lengths, then two words an entry."""
        return 4 + 2 * math.prod(self.extent)

    def lies(self, drawn: Any, p: Any, bound: Any, longest: Any) -> Any:
        """Where the part begins, which entries are redrawn, with probability p, and what U(-bound, bound) gives."""
        places = list(zip(drawn[:2], drawn[2:4], self.drawn, longest, self.sizes, self.extent, strict=False))
        (row, down), (column, across) = (_span(*axis) for axis in places)
        thin, fresh = unit_interval(drawn[4:]).reshape(2, *self.extent)
        return row, column, down[:, None, None] & across[None, :, None] & (thin < p), (2 * fresh - 1) * bound

    def act(self, keys: Any, lies: Any, number: int, w: Any, first: int) -> Any:
        """The weights with rectangle `number` of `lies` redrawn, units counted from `first`."""
        del keys
        row, column, redrawn, fresh = (part[number] for part in lies)
        row, fresh = row + first, fresh.astype(w.dtype)
        if _turned(w, self.layout):
            return _edited(
                w, (column, row), self.extent[1::-1], lambda x: jnp.where(redrawn[..., 0].T, fresh[..., 0].T, x)
            )
        view = output_first(w, self.layout)
        whole, place = view.reshape(-1, *self.sizes[1:]), (row, column, jnp.zeros_like(row))
        whole = _edited(whole, place, self.extent, lambda x: jnp.where(redrawn, fresh, x))
        return output_back(whole.reshape(view.shape), self.layout)


@dataclasses.dataclass(frozen=True)
class Reorder:
    """A window of every row of `size` weights permuted ("permute") or copied over itself ("released").

    `units` as in `Redraw`; `reach`: the largest length; `rows`: how many rows these units have.
    """

    mode: str
    layout: str
    units: int
    size: int
    reach: int
    rows: int

    @property
    def num_words(self) -> int:
        """Of each row whether, a start and a length; those of the entries are drawn where a window acts."""
        return 3 * self.rows

    def lies(self, drawn: Any, p: Any, longest: Any) -> Any:
        """Of every row, [rows, 4]: whether its window acts, where the part begins and the window, and its length."""
        whether, word, length_word = drawn.reshape(3, self.rows)
        acts = (unit_interval(whether) < p).astype(jnp.int32)
        return jnp.stack([acts, *_start(word, length_word, self.size, longest, self.size, self.reach)], axis=1)

    def act(self, keys: Any, lies: Any, number: int, w: Any, first: int) -> Any:
        """The weights with the windows `number` of `lies` reordered, units counted from `first`."""
        if w.ndim < 3:
            # What is only looked up where a window acts costs nothing elsewhere, outside `vmap`.
            return self._one_row(lambda: keys[number], lambda: lies[number, 0], w, first)
        key, units = keys[number], slice(first, first + self.units)
        view = output_first(w, self.layout)
        own = jax.random.split(stream(key, "rows"), self.rows)
        fresh = words(key, self.rows * self.reach, ENTRIES).reshape(self.rows, self.reach)

        def of_row(key, lie, fresh, row):
            acts, at, start, length = lie
            new = _edited(row, (at,), (self.reach,), lambda part: self._changed(key, fresh, part, at - start, length))
            return jnp.where(acts > 0, new, row)

        rows = jax.vmap(of_row)(own, lies[number], fresh, view[units].reshape(self.rows, self.size))
        rows = rows.reshape(self.units, *view.shape[1:])
        return output_back(jax.lax.dynamic_update_slice_in_dim(view, rows, first, 0), self.layout)

    def _changed(self, key, fresh, part, lead, length):
        """A part of a row with the window in it reordered, which begins `lead` before the part."""
        places = jnp.arange(len(part), dtype=jnp.int32)
        if self.mode == "permute":
            return _permuted(key, fresh, part, lead + places, length)
        return _taken(part, places - _steps_back(fresh, lead + places, length))

    def _one_row(self, key, lie, w, first):
        """A vector or matrix as one row, unit after unit."""
        if not _turned(w, self.layout):
            row = w.reshape(-1)
            place, extent = (first * (self.size // self.units) + lie()[1],), (self.reach,)

            def changed(row):
                _, _, start, length = lie()
                part = jax.lax.dynamic_slice(row, place, extent)
                return self._changed(key(), words(key(), self.reach, ENTRIES), part, lie()[1] - start, length)

            return _where(lie()[0] > 0, changed, row, place, extent).reshape(w.shape)
        # The row is the transpose: as many columns are read as can hold the part.
        inputs, width = w.shape
        columns = min(self.units, (self.reach + inputs - 2) // inputs + 1)

        def first_column():
            return jnp.minimum(jax.lax.div(lie()[1], np.int32(inputs)), self.units - columns)

        def copied(w):
            # Places are counted down the columns; the weights are taken where they lie.
            _, _, start, length = lie()
            column = first_column()
            here = jnp.arange(columns * inputs, dtype=jnp.int32)
            back = _steps_back(words(key(), len(here), ENTRIES), here + (column * inputs - start), length)
            source = (here - back).astype(jnp.uint32)
            down, across = (part(source, np.uint32(inputs)).astype(jnp.int32) for part in (jax.lax.rem, jax.lax.div))
            found = _taken(w.reshape(-1), down * width + (first + column + across))
            # Computed in this order, in which a CPU does eight at once, and turned afterwards.
            return jax.lax.optimization_barrier(found).reshape(columns, inputs).T

        def permuted(w):
            _, at, start, length = lie()
            column = first_column()
            block = jax.lax.dynamic_slice(w, (jnp.zeros_like(column), first + column), (inputs, columns))
            fresh, place = words(key(), self.reach, ENTRIES), (at - column * inputs,)
            change = partial(self._changed, key(), fresh, lead=at - start, length=length)
            return _edited(block.T.reshape(-1), place, (self.reach,), change).reshape(columns, inputs).T

        place = jnp.zeros((), jnp.int32), first + first_column()
        change = permuted if self.mode == "permute" else copied
        return _where(lie()[0] > 0, change, w, place, (inputs, columns))


def _turned(w, layout):
    """Whether the output units are the columns of a matrix."""
    return w.ndim == 2 and layout == "in_out"


def _where(acts, change, w, place, extent):
    """The array with `change(array)` in the part of this extent at `place`, if the window acts."""
    part = jax.lax.cond(acts, change, lambda w: jax.lax.dynamic_slice(w, place, extent), w)
    return jax.lax.dynamic_update_slice(w, part, place)


def _edited(array, place, extent, change):
    """The array with `change` of the part of this extent at `place`."""
    part = jax.lax.dynamic_slice(array, place, extent)
    return jax.lax.dynamic_update_slice(array, change(part), place)


def _start(word, length_word, drawn, longest, size, extent):
    """Where a part of `extent` begins that holds the window, where the window does, and its length.

    Starts are uniform on 0..drawn-1, lengths on 1..longest, both up to size / 2^32.
    """
    start, length = below(word, drawn, drawn), 1 + below(length_word, longest, drawn)
    return jnp.minimum(start, size - extent), start, length


def _span(*axis):
    """Where the part begins on this axis, and which of its entries are in the rectangle."""
    at, start, length = _start(*axis)
    offset = at - start + jnp.arange(axis[-1], dtype=jnp.int32)
    return at, (offset >= 0) & (offset <= length)


def _permuted(key, drawn, part, offset, length):
    """A uniform permutation of the places 0 <= offset < length; the others stay.

    Places are sorted by random numbers above their own: on a CPU a third of the time of sorting pairs. Where two of the
    random numbers are equal, which leaves them in order, all are sorted again by fresh ones.
    """
    size = len(part)
    bits = max(size - 1, 1).bit_length()
    inside = (offset >= 0) & (offset < length)
    if bits > 16:
        order = jnp.where(offset < 0, 0, jnp.where(inside, 1, 2))
        return jax.lax.sort((order, drawn, part), num_keys=2, is_stable=True)[2]
    places, low = jnp.arange(size, dtype=jnp.uint32), np.uint32(2**bits - 1)
    top = np.uint32(2 ** (32 - bits) - 1)

    def by_chance(drawn):
        above = jnp.clip(drawn >> bits, np.uint32(1), top - np.uint32(1))
        above = jnp.where(offset < 0, np.uint32(0), jnp.where(inside, above, top))
        return jax.lax.sort((above << bits) | places)

    def again(found):
        fresh = jax.random.bits(stream(key, "ties"), drawn.shape, jnp.uint32)
        return found[(by_chance(fresh) & low).astype(jnp.int32)]

    found = by_chance(drawn)
    tied = ((found[1:] >> bits == found[:-1] >> bits) & inside[1:] & inside[:-1]).any()
    found = jax.lax.cond(tied, again, lambda found: found, found)
    return part[(found & low).astype(jnp.int32)]


def _steps_back(drawn, offset, length):
    """i - J_i with J_i uniform on 0..i, at the places 0 <= i = offset < length, and 0 at the others."""
    picks = jnp.maximum(offset, 0)
    return jnp.where((offset >= 0) & (offset < length), picks - below(drawn, picks + 1, drawn.size), 0)


def _taken(array, places):
    """array[places] of places that are known to be there."""
    return array.at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)
