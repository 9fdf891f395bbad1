"""Weights redrawn or reordered inside a random window: the two operators, as functions of one array."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_choice, check_positive
from identax.inputs import numbers
from identax.rng import stream
from identax.transforms._layout import (
    check_perturbation,
    longest_window,
    output_back,
    output_first,
)

REINITIALISE_MODES = ("intended", "released")
SHUFFLE_MODES = ("permute", "released")


def reinitialise(
    key: Any,
    w: Any,
    p: ArrayLike,
    c: ArrayLike,
    *,
    mode: str = "intended",
    layout: str = "in_out",
    bound: ArrayLike | None = None,
    skip_last: bool = False,
    max_c: ArrayLike = 1.0,
) -> Any:
    """Redraws a sparse random part of a random rectangle of the matrix `w` [out, in].

    On each axis of size s a start is uniform on 0..s-1 and a length uniform on 2..max(2, floor(c s)); the rectangle is
    cut off at the end. Each entry inside is redrawn with probability p, from U(-bound, bound). There is a rectangle at
    every call: p thins it out. A kernel of more axes is the matrix [out, everything else], a vector one row.

    * `mode`: "released" differs for kernels of three axes and more. There starts and lengths are drawn for the sizes of
      the last two axes of [out, in, ...], but used on out and in: of a 5 x 5 convolution the first six channels at most
      ever change, and c < 0.6 changes nothing.
    * `layout`: "in_out" for kernels [..., in, out] (Flax), "out_in" for [out, in, ...] (PyTorch)
    * `bound`: by default 1/sqrt(fan-in); "released" takes the size of the last axis of [out, in, ...] for the fan-in
    * `skip_last`: leaves the last output unit alone, as the released code does with every gate of an LSTM
    * `max_c`: the largest c that may come, a static number: numbers are drawn for windows of that share only

    p and c may be traced, so that a sweep over them compiles once. A traced c above `max_c` counts as `max_c`.
    Raises `ValueError` for p outside [0, 1], c and max_c outside (0, 1], c > max_c, a bound that is not positive, an
    unknown mode or layout, weights that are no floats, and a single unit to skip.
    Source: Reizinger & Gyires-Toth 2019 (Weight Reinitialization), and their code.
    """
    check_choice("reinitialise", "mode", mode, REINITIALISE_MODES)
    w = numbers("reinitialise", "w", w)
    check_perturbation("reinitialise", w, p, c, max_c, layout)
    shape = _kept("reinitialise", output_first(w, layout), skip_last)
    drawn = drawn_sizes(shape, mode)
    if bound is None:
        bound = 1 / math.sqrt(shape[-1] if mode == "released" else max(math.prod(shape[1:]), 1))
        bound = 1 / math.sqrt(shape[0]) if len(shape) == 1 else bound
    check_positive("reinitialise", "bound", bound, ())
    longest = tuple(jnp.minimum(longest_window(size, c), longest_window(size, max_c)) for size in drawn)
    reach = tuple(longest_window(size, max_c) for size in drawn)
    return _redrawn(key, w, p, bound, longest, mode, layout, skip_last, drawn, reach)


def shuffle(
    key: Any,
    w: Any,
    p: ArrayLike,
    c: ArrayLike,
    *,
    mode: str = "permute",
    layout: str = "in_out",
    skip_last: bool = False,
    max_c: ArrayLike = 1.0,
) -> Any:
    """Reorders the weights inside a random window of every row of `w`.

    A vector or a matrix [out, in] is one row, unit after unit; a kernel [out, in, ...] has a row per pair (out, in).
    With probability p, for each row of n weights apart, a window starts uniformly on 0..n-1; its length is uniform on
    1..max(2, floor(c n)) - 1, cut off at the end of the row. Windows of floor(c n) <= 2 hold one weight: nothing moves.

    * `mode`: "permute" draws a uniform permutation of the window, so the row keeps its values. "released" is what the
      published program does: out[i] = x[J_i] with J_i uniform on 0..i and independent, i counted from the start of the
      window. It copies values over others; applied often, few distinct ones are left.
    * `layout`, `skip_last`, `max_c` as in `reinitialise`

    p and c may be traced. Raises `ValueError` as `reinitialise` does.
    Source: Reizinger & Gyires-Toth 2019 (Weight Shuffling), and their code.
    """
    check_choice("shuffle", "mode", mode, SHUFFLE_MODES)
    w = numbers("shuffle", "w", w)
    check_perturbation("shuffle", w, p, c, max_c, layout)
    size = row_length(_kept("shuffle", output_first(w, layout), skip_last))
    reach = longest_window(size, max_c)
    longest = jnp.minimum(longest_window(size, c), reach)
    return _reordered(key, w, p, longest, mode, layout, skip_last, size, reach)


def drawn_sizes(shape: tuple[int, ...], mode: str) -> tuple[int, int]:
    """Sizes of the axes that starts and lengths of `reinitialise` are drawn for, of weights [out, in, ...]."""
    if len(shape) == 1:
        return 1, shape[0]
    return (shape[-2], shape[-1]) if mode == "released" else (shape[0], math.prod(shape[1:]))


def block(shape: tuple[int, ...], mode: str) -> tuple[int, int, int]:
    """Weights [out, in, ...] as [a, b, rest]: the axes of the rectangle of `reinitialise`, and the others."""
    if len(shape) == 1:
        return 1, shape[0], 1
    rest = math.prod(shape[2:])
    return (shape[0], shape[1], rest) if mode == "released" else (shape[0], shape[1] * rest, 1)


def row_length(shape: tuple[int, ...]) -> int:
    """The number of weights in a row of `shuffle`, of weights [out, in, ...]."""
    return math.prod(shape if len(shape) < 3 else shape[2:])


def _kept(where: str, w: Any, skip_last: bool) -> tuple[int, ...]:
    if skip_last and w.shape[0] < 2:
        raise ValueError(f"{where}: found a single output unit of weights {w.shape}, wanted more to skip the last")
    return (w.shape[0] - skip_last, *w.shape[1:])


def _on_view(change: Any, w: Any, layout: str, skip_last: bool) -> Any:
    """`change` on the weights [out, in, ...], all units but the last where that is skipped."""
    view = output_first(w, layout)
    head = view[:-1] if skip_last else view
    head = change(head)
    return output_back(jnp.concatenate([head, view[-1:]]) if skip_last else head, layout)


@partial(jax.jit, static_argnums=(5, 6, 7, 8, 9), inline=True)
def _redrawn(key, w, p, bound, longest, mode, layout, skip_last, drawn, reach):
    def change(head):
        sizes = block(head.shape, mode)
        whole = head.reshape(sizes)
        (starts, lengths), _ = _placed(key, drawn, longest)
        # A part of static size that surely holds the rectangle: numbers are drawn for no more.
        extent = [min(size, most + 1) for size, most in zip(sizes[:2], reach, strict=True)]
        first = [jnp.minimum(start, size - e) for start, size, e in zip(starts, sizes[:2], extent, strict=True)]
        offsets = [f - start + jnp.arange(e) for f, start, e in zip(first, starts, extent, strict=True)]
        down, across = ((o >= 0) & (o <= length) for o, length in zip(offsets, lengths, strict=True))
        corner, shape = (*first, jnp.zeros((), first[0].dtype)), (*extent, sizes[2])
        part = jax.lax.dynamic_slice(whole, corner, shape)
        thin, fresh = jax.random.uniform(stream(key, "values"), (2, *shape), whole.dtype)
        limit = jnp.asarray(bound, whole.dtype)
        fresh = (2 * fresh - 1) * limit
        part = jnp.where(down[:, None, None] & across[None, :, None] & (thin < p), fresh, part)
        return jax.lax.dynamic_update_slice(whole, part, corner).reshape(head.shape)

    return _on_view(change, w, layout, skip_last)


@partial(jax.jit, static_argnums=(4, 5, 6, 7, 8), inline=True)
def _reordered(key, w, p, longest, mode, layout, skip_last, size, reach):
    reorder = _permuted if mode == "permute" else _copied

    def one_row(key, row):
        ((start,), (length,)), chance = _placed(key, (size,), (longest,))

        def act(row):
            first = jnp.minimum(start, size - reach)
            part = jax.lax.dynamic_slice(row, (first,), (reach,))
            offset = first - start + jnp.arange(reach)
            return jax.lax.dynamic_update_slice(row, reorder(stream(key, "order"), part, offset, length), (first,))

        # Outside `vmap` a row that stays costs nothing.
        return jax.lax.cond(chance < p, act, lambda row: row, row)

    def change(head):
        rows = head.reshape(-1, size)
        if len(rows) == 1:
            return one_row(key, rows[0]).reshape(head.shape)
        return jax.vmap(one_row)(jax.random.split(key, len(rows)), rows).reshape(head.shape)

    return _on_view(change, w, layout, skip_last)


def _placed(key, sizes, longest):
    """Starts, uniform on 0..size-1, and lengths, uniform on 1..longest, of a window on each axis, and one U(0, 1).

    All of one call of the generator. Remainders of 32 random bits are uniform up to size / 2^32.
    """
    words = jax.random.bits(key, (2 * len(sizes) + 1,), jnp.uint32)
    starts = [(word % np.uint32(size)).astype(jnp.int32) for word, size in zip(words[1:], sizes, strict=False)]
    of_lengths = zip(words[1 + len(sizes) :], longest, strict=True)
    lengths = [1 + (word % jnp.asarray(most, jnp.uint32)).astype(jnp.int32) for word, most in of_lengths]
    return (starts, lengths), (words[0] >> 8).astype(jnp.float32) * np.float32(2**-24)


def _permuted(key, part, offset, length):
    """A uniform permutation of the places 0 <= offset < length; a stable sort leaves the others where they are."""
    bits = jax.random.bits(key, part.shape, jnp.uint32)
    last = np.uint32(2**32 - 1)
    inside = jnp.clip(bits, np.uint32(1), last - np.uint32(1))
    order = jnp.where(offset < 0, jnp.zeros_like(bits), jnp.where(offset < length, inside, last))
    return jax.lax.sort((order, part), num_keys=1, is_stable=True)[1]


def _copied(key, part, offset, length):
    """out[i] = x[J_i] with J_i uniform on 0..i, at the places 0 <= i = offset < length."""
    bits = jax.random.bits(key, part.shape, jnp.uint32)
    source = (bits % (jnp.maximum(offset, 0).astype(jnp.uint32) + np.uint32(1))).astype(jnp.int32)
    inside = (offset >= 0) & (offset < length)
    return part[jnp.arange(len(part)) - jnp.where(inside, offset - source, 0)]
