"""A random window of an array of weights, drawn and acted on: what is static of it, and what it does.

Only a part of static size that surely holds the window is read, drawn for and written: with p and c traced, the
largest c that may come bounds it. All random words of a window come at once, so that many leaves can draw together.
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
from identax.transforms._words import below, unit_interval


@dataclasses.dataclass(frozen=True)
class Redraw:
    """A sparse rectangle of the matrix [units, b, rest] redrawn.

    `units`: the first output unit and how many; `drawn`, `reach`: sizes that starts and lengths are drawn for, and the
    largest length on each of the two axes; `sizes`: of the matrix.
    """

    layout: str
    units: tuple[int, int]
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

    def act(self, key: Any, drawn: Any, w: Any, p: Any, bound: Any, longest: Any) -> Any:
        """The weights with the rectangle redrawn from U(-bound, bound) with probability p, lengths up to `longest`."""
        del key
        places = list(zip(drawn[:2], drawn[2:4], self.drawn, longest, self.sizes, self.extent, strict=False))
        (row, down), (column, across) = (_span(*axis) for axis in places)
        thin, fresh = unit_interval(drawn[4:]).reshape(2, *self.extent)
        fresh = (2 * fresh - 1).astype(w.dtype) * jnp.asarray(bound, w.dtype)
        redrawn = down[:, None, None] & across[None, :, None] & (thin < p)
        row = row + self.units[0]
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
    units: tuple[int, int]
    size: int
    reach: int
    rows: int

    @property
    def num_words(self) -> int:
        """Of each row whether, a start and a length, then a word an entry."""
        return self.rows * (3 + self.reach)

    def act(self, key: Any, drawn: Any, w: Any, p: Any, longest: Any) -> Any:
        """The weights with every row's window reordered with probability p, lengths up to `longest`."""
        if w.ndim < 3:
            at, change, acts = self._window(key, drawn, p, longest)
            # Outside `vmap` a row that stays costs nothing.
            return self._one_row(w, at, partial(jax.lax.cond, acts, change, lambda part: part))
        first, number = self.units
        view = output_first(w, self.layout)
        rows = view[first : first + number].reshape(self.rows, self.size)
        keys = jax.random.split(stream(key, "rows"), self.rows)

        def of_row(key, drawn, row):
            at, change, acts = self._window(key, drawn, p, longest)
            return jnp.where(acts, _edited(row, (at,), (self.reach,), change), row)

        rows = jax.vmap(of_row)(keys, drawn.reshape(self.rows, -1), rows).reshape(number, *view.shape[1:])
        return output_back(jax.lax.dynamic_update_slice_in_dim(view, rows, first, 0), self.layout)

    def _window(self, key, drawn, p, longest):
        """Where the part begins, what to do with it, and whether to."""
        at, offset, length = _start(drawn[1], drawn[2], self.size, longest, self.size, self.reach)
        change = partial(_permuted, key) if self.mode == "permute" else _copied
        return at, lambda part: change(drawn[3:], part, offset, length), unit_interval(drawn[0]) < p

    def _one_row(self, w, at, change):
        """A vector or matrix as one row, unit after unit."""
        first, number = self.units
        if not _turned(w, self.layout):
            row = _edited(w.reshape(-1), (first * (self.size // number) + at,), (self.reach,), change)
            return row.reshape(w.shape)
        # The row is the transpose: as many columns are turned as can hold the part, not the matrix.
        inputs = w.shape[0]
        columns = min(number, (self.reach + inputs - 2) // inputs + 1)
        column = jnp.minimum(at // inputs, number - columns)

        def turned(block):
            row = _edited(block.T.reshape(-1), (at - column * inputs,), (self.reach,), change)
            return row.reshape(columns, inputs).T

        return _edited(w, (jnp.zeros_like(column), first + column), (inputs, columns), turned)


def _turned(w, layout):
    """Whether the output units are the columns of a matrix."""
    return w.ndim == 2 and layout == "in_out"


def _edited(array, place, extent, change):
    """The array with `change` of the part of this extent at `place`."""
    part = jax.lax.dynamic_slice(array, place, extent)
    return jax.lax.dynamic_update_slice(array, change(part), place)


def _start(word, length_word, drawn, longest, size, extent):
    """Where a part of `extent` begins that holds the window, its offsets from the window's start, and the length.

    Starts are uniform on 0..drawn-1, lengths on 1..longest, both up to size / 2^32.
    """
    start, length = below(word, drawn, drawn), 1 + below(length_word, longest, drawn)
    at = jnp.minimum(start, size - extent)
    return at, at - start + jnp.arange(extent), length


def _span(*axis):
    """Where the part begins on this axis, and which of its entries are in the rectangle."""
    at, offset, length = _start(*axis)
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


def _copied(drawn, part, offset, length):
    """out[i] = x[J_i] with J_i uniform on 0..i, at the places 0 <= i = offset < length."""
    picks = jnp.maximum(offset, 0)
    back = picks - below(drawn, picks + 1, len(part))
    return part[jnp.arange(len(part)) - jnp.where((offset >= 0) & (offset < length), back, 0)]
