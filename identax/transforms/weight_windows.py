"""Weights redrawn or reordered inside a random window: the two operators, as functions of one array."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_choice, check_positive
from identax.inputs import numbers
from identax.transforms._layout import check_perturbation, longest_window, output_first_shape
from identax.transforms._windows import Redraw, Reorder
from identax.transforms._words import words

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
    units = kept_units("reinitialise", w.shape, layout, skip_last)
    plan, rest = redraw(w, c, units[1], mode=mode, layout=layout, bound=bound, max_c=max_c)
    return _alone(plan, key, w, (p, *rest))


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
    units = kept_units("shuffle", w.shape, layout, skip_last)
    plan, rest = reorder(w, c, units[1], mode=mode, layout=layout, max_c=max_c)
    return _alone(plan, key, w, (p, *rest))


def drawn_sizes(shape: tuple[int, ...], mode: str) -> tuple[int, int]:
    """Sizes of the axes that starts and lengths of `reinitialise` are drawn for, of weights [out, in, ...]."""
    if len(shape) == 1:
        return shape[0], 1
    return (shape[-2], shape[-1]) if mode == "released" else (shape[0], math.prod(shape[1:]))


def block(shape: tuple[int, ...], mode: str) -> tuple[int, int, int]:
    """Weights [out, in, ...] as [out, b, rest]: the axes of the rectangle of `reinitialise`, and the others."""
    rest = math.prod(shape[2:])
    if len(shape) == 1 or mode == "intended":
        return shape[0], math.prod(shape[1:]), 1
    return shape[0], shape[1], rest


def row_length(shape: tuple[int, ...]) -> int:
    """The number of weights in a row of `shuffle`, of weights [out, in, ...]."""
    return math.prod(shape if len(shape) < 3 else shape[2:])


def kept_units(
    where: str, shape: tuple[int, ...], layout: str, skip_last: bool, units: tuple[int, int] | None = None
) -> tuple[int, int]:
    """The first output unit, and how many, of all or of `units`; raises `ValueError` for a single one to skip."""
    first, number = (0, output_first_shape(shape, layout)[0]) if units is None else units
    if skip_last and number < 2:
        raise ValueError(f"{where}: found a single output unit of weights {shape}, wanted more to skip the last")
    return first, number - skip_last


def redraw(
    w: Any, c: Any, units: int, *, mode: str, layout: str, bound: Any, max_c: Any
) -> tuple[Redraw, tuple[Any, Any]]:
    """What `reinitialise` does to so many units of `w`: the static part, and (bound, longest)."""
    shape = (units, *output_first_shape(w.shape, layout)[1:])
    drawn = drawn_sizes(shape, mode)
    if bound is None:
        bound = 1 / math.sqrt(shape[-1] if mode == "released" or len(shape) == 1 else math.prod(shape[1:]))
    check_positive("reinitialise", "bound", bound, ())
    down, across = (longest_window(size, max_c) for size in drawn)
    longest = tuple(
        jnp.minimum(longest_window(size, c), most) for size, most in zip(drawn, (down, across), strict=True)
    )
    return Redraw(layout, units, drawn, (down, across), block(shape, mode)), (bound, longest)


def reorder(w: Any, c: Any, units: int, *, mode: str, layout: str, max_c: Any) -> tuple[Reorder, tuple[Any]]:
    """What `shuffle` does to so many units of `w`: the static part, and (longest,)."""
    shape = (units, *output_first_shape(w.shape, layout)[1:])
    size = row_length(shape)
    reach = longest_window(size, max_c)
    plan = Reorder(mode, layout, units, size, reach, math.prod(shape) // size)
    return plan, (jnp.minimum(longest_window(size, c), reach),)


@partial(jax.jit, static_argnums=0, inline=True)
def _alone(plan, key, w, arguments):
    lies = jax.tree.map(lambda part: part[None], plan.lies(words(key, plan.num_words), *arguments))
    return plan.act(key[None], lies, 0, w, 0)
