"""How often the two operators touch which weight, in closed form, and windows that never do anything."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_choice, concrete, sizes_of
from identax.transforms._layout import LAYOUTS, check_strength, longest_window, output_first_shape
from identax.transforms.weight_windows import (
    REINITIALISE_MODES,
    SHUFFLE_MODES,
    block,
    drawn_sizes,
    row_length,
)


def reinitialise_touch(
    shape: Any, p: ArrayLike, c: ArrayLike, *, mode: str = "intended", layout: str = "in_out"
) -> np.ndarray:
    """The probability that one call of `reinitialise` redraws an entry, of the shape of the weights.

        P(r, k) = p q(r) q(k),   q(k) = 1/s sum over starts a = k - d, 0 <= a < s, of P(d)

    where P(d), the probability that a window reaches d entries behind its start, is 1 for d <= 1 and (L + 1 - d)/L up
    to d = L, L = max(2, floor(c s)) - 1. In float64; its sum is the expected number of entries redrawn.
    Raises `ValueError` for what `reinitialise` refuses, and for a traced p or c.
    """
    check_choice("reinitialise_touch", "mode", mode, REINITIALISE_MODES)
    shape = _checked("reinitialise_touch", shape, p, c, layout)
    sizes = block(shape, mode)
    down, across = (
        _redraw_reach(size, drawn, longest_window(drawn, c))
        for size, drawn in zip(sizes[:2], drawn_sizes(shape, mode), strict=True)
    )
    touched = np.broadcast_to(_number(p) * down[:, None, None] * across[None, :, None], sizes).reshape(shape)
    return _back(touched, layout)


def shuffle_touch(
    shape: Any, p: ArrayLike, c: ArrayLike, *, mode: str = "permute", layout: str = "in_out"
) -> np.ndarray:
    """The probability that one call of `shuffle` changes an entry, values being distinct; of the shape of the weights.

    With L = max(2, floor(c n)) - 1 and d = k - a for a window of m weights that starts at a, place k of a row changes
    with probability p/n times the sum over starts and lengths of (m - 1)/m ("permute"), or of d/(d + 1) ("released").
    In float64; its sum is the expected number of entries changed. Raises `ValueError` as `reinitialise_touch` does.
    """
    check_choice("shuffle_touch", "mode", mode, SHUFFLE_MODES)
    shape = _checked("shuffle_touch", shape, p, c, layout)
    size = row_length(shape)
    longest = longest_window(size, c)
    changes = _permuted if mode == "permute" else _copied
    row = _number(p) / size * changes(size, longest)
    return _back(np.broadcast_to(row, (np.prod(shape, dtype=int) // size, size)).reshape(shape), layout)


def window_coverage(size: int, c: ArrayLike) -> np.ndarray:
    """The probability that a window of `shuffle` covers place k of a row of `size` weights, if the row is chosen.

        1/n sum over d = 0 .. min(k, L - 1) of (1 - d/L),   L = max(2, floor(c n)) - 1

    Inside (L + 1)/(2n); less near the first place, since windows reach to the right and end with the row.
    Raises `ValueError` for a size below 1, c outside (0, 1] and a traced c.
    """
    (size,) = _checked("window_coverage", (size,), 1, c, "out_in")
    longest = longest_window(size, c)
    return _running(1 - np.arange(longest) / longest, size) / size


def idle_window(shape: Any, c: ArrayLike, *, layout: str = "in_out") -> str | None:
    """Why `shuffle` with this c can never change weights of this shape, None where it can.

    Raises `ValueError` as `shuffle_touch` does.
    """
    shape = _checked("idle_window", shape, 1, c, layout)
    size = row_length(shape)
    if longest_window(size, c) > 1:
        return None
    if size < 3:
        return f"rows of {size} weights have no window of two"
    return f"windows of c={c} of {size} weights hold one weight: floor(c n) <= 2, c must be at least {3 / size:.3g}"


def warn_idle(where: str, shapes: Mapping[str, Any], c: Any, layout: str) -> None:
    """Warns once for all leaves whose windows can never act; a traced c is unknown and passes."""
    if concrete(c) is None:
        return
    reasons = {name: idle_window(shape, float(c), layout=layout) for name, shape in shapes.items()}
    idle = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if idle:
        warnings.warn(f"{where}: never changes {'; '.join(idle)}", stacklevel=3)


def _redraw_reach(size: int, drawn: int, longest: int) -> np.ndarray:
    """q(k) for k < size: starts are uniform on 0..drawn-1, windows hold length + 1 entries."""
    d = np.arange(longest + 1)
    reach = np.minimum(1.0, (longest + 1 - d) / longest)
    held = np.concatenate([[0.0], np.cumsum(reach)])
    k = np.arange(size)
    top, bottom = np.minimum(k, longest), np.maximum(k - drawn + 1, 0)
    return np.where(top >= bottom, held[top + 1] - held[np.minimum(bottom, longest + 1)], 0.0) / drawn


def _copied(size: int, longest: int) -> np.ndarray:
    d = np.arange(longest)
    return _running((1 - d / longest) * d / (d + 1), size)


def _permuted(size: int, longest: int) -> np.ndarray:
    """Sum over starts a = k - d and lengths > d of (1 - 1/m) / L, where m = min(length, n - a) weights are inside."""
    moved = np.concatenate([[0.0], np.cumsum(1 - 1 / np.arange(1, size + 1))])  # of lengths up to m
    room = size - np.arange(size)
    whole = np.minimum(longest, room)
    start = moved[whole] + (longest - whole) * (1 - 1 / room)
    # A start a counts for the places a .. a + L - 1, its lengths up to d do not reach the place a + d.
    sums = np.concatenate([[0.0], np.cumsum(start)])
    k = np.arange(size)
    return (sums[k + 1] - sums[np.maximum(k - longest + 1, 0)] - _running(moved[:longest], size)) / longest


def _running(terms: np.ndarray, size: int) -> np.ndarray:
    """Sum over d <= min(k, last) of terms[d], for k < size."""
    return np.cumsum(terms)[np.minimum(np.arange(size), len(terms) - 1)]


def _number(p: Any) -> float:
    return float(p)


def _back(touched: np.ndarray, layout: str) -> np.ndarray:
    return np.moveaxis(touched, (0, 1), (-1, -2)) if layout == "in_out" and touched.ndim > 1 else touched


def _checked(where: str, shape: Any, p: Any, c: Any, layout: str) -> tuple[int, ...]:
    shape = sizes_of(where, "shape", shape)
    check_choice(where, "layout", layout, LAYOUTS)
    check_strength(where, p, c)
    if concrete(p) is None or concrete(c) is None:
        raise ValueError(f"{where}: found a traced p or c, wanted numbers")
    return output_first_shape(shape, layout)
