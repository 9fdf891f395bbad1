"""Windows of series: what was seen, what comes next, and which of them can be held out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from identax.data._checks import whole


class Windows(NamedTuple):
    """`inputs` [N, W, ...], W consecutive entries of a series each, and `targets` [N, ...], the entry behind them.

    The inputs of a single series are a view of it: nothing is copied, and nothing can be written.
    """

    inputs: Shaped[np.ndarray, "N W *d"]
    targets: Shaped[np.ndarray, "N *d"]

    def part(self, rows: Any) -> "Windows":
        """Those of the windows that `rows` names, indices or a mask [N], copied."""
        return Windows(self.inputs[rows], self.targets[rows])


def windows(series: np.ndarray | Sequence[np.ndarray], length: Any) -> Windows:
    """All windows of `length` entries and the entry that follows each, of one series [T, ...] or of several in turn.

    Window i of a series holds its entries i ... i + length - 1, the target is entry i + length; no window reaches into
    the next series, and series of at most `length` entries give none.
    Raises `ValueError` for a length below 1, no series, unequal entries, and where no series is long enough.
    """
    parts = [series] if isinstance(series, np.ndarray) else [np.asarray(part) for part in series]
    if not parts or any(part.ndim < 1 or part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise ValueError(
            f"windows: found series of shapes {[part.shape for part in parts]}, wanted [T, ...] of one kind"
        )
    longest = max(map(len, parts))
    length = whole("windows", "length", length, 1, max(longest - 1, 1), f"(the longest series has {longest} entries)")
    found = [_of_one(part, length) for part in parts if len(part) > length]
    if not found:
        raise ValueError(f"windows: found series of up to {longest} entries, wanted more than {length}")
    return found[0] if len(found) == 1 else Windows(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _of_one(series: np.ndarray, length: int) -> Windows:
    seen = np.lib.stride_tricks.sliding_window_view(series[:-1], length, axis=0)
    return Windows(np.moveaxis(seen, -1, 1), series[length:])


def validation_windows(
    num: Any, num_validation: Any, *, length: Any = None, seed: Any = 1
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Indices (train, validation) of `num` windows of one series, in ascending order.

    Without a `length` validation is drawn at random (`RandomState(seed)`), as published: nearly every entry of it lies
    in windows that are trained on, so that it says little of what comes later. With the windows' `length` it is the
    last `num_validation` windows, and the `length` before them are left out: no entry is on both sides.
    Raises `ValueError` for counts that leave nothing on either side.
    Source: Reizinger & Gyires-Toth 2019, code (5,000 of 60,000 at random); the other is ours.
    """
    where = "validation_windows"
    num = whole(where, "num", num, 2, 2**31 - 1)
    gap = 0 if length is None else whole(where, "length", length, 1, num)
    num_validation = whole(where, "num_validation", num_validation, 1, num - gap - 1, f"of {num} windows less {gap}")
    if length is not None:
        return np.arange(num - num_validation - gap), np.arange(num - num_validation, num)
    order = np.random.RandomState(whole(where, "seed", seed, 0, 2**32 - 1)).permutation(num)
    return np.sort(order[num_validation:]), np.sort(order[:num_validation])
