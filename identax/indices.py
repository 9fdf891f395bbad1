"""Which of `size` things are meant: by their numbers, or by a mask over them."""

from typing import Any

import numpy as np

from identax.checks import concrete


def index_list(where: str, name: str, chosen: Any, size: int) -> np.ndarray:
    """The numbers 0..size-1 that `chosen` names, a sequence of them or a mask [size]; at least one.

    Raises `ValueError` for anything but integers or booleans, a mask of another length, numbers out of range, and none.
    """
    known = concrete(chosen)
    if known is None:
        raise ValueError(f"{where}: found {name} of a compiled program, wanted known indices")
    mixed = isinstance(chosen, list | tuple) and len({isinstance(entry, bool | np.bool_) for entry in chosen}) > 1
    if known.size and (known.dtype.kind not in "iub" or mixed or known.ndim > 1):
        raise ValueError(f"{where}: found {name} {chosen!r}, wanted integers (indices) or booleans (a mask)")
    if known.dtype.kind == "b":
        if known.shape != (size,):
            raise ValueError(f"{where}: found a mask {name} of shape {known.shape}, wanted [{size}]")
        known = np.flatnonzero(known)
    index = known.reshape(-1).astype(int)
    if index.size == 0 or index.min() < 0 or index.max() >= size:
        raise ValueError(f"{where}: found {name} {index.tolist()}, wanted indices between 0 and {size - 1}")
    return index
