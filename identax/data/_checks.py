"""What the sources refuse: sizes, indices and masks."""

import operator
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from identax.checks import is_integer


def name_of(path: Any) -> str:
    """The name of an array in a tree: x, pair.0; "the array" where it stands alone."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or "the array"


def home_expanded(path: str | Path) -> str:
    """A path whose leading ~ is the home directory."""
    return os.path.expanduser(path)


def integer(where: str, name: str, value: Any) -> int:
    """`value` as an int; raises `ValueError` for what is none: booleans, floats, arrays of several, None."""
    if not is_integer(value):
        raise ValueError(f"{where}: found {name}={value!r}, wanted an integer")
    return operator.index(value)


def whole(where: str, name: str, value: Any, low: int, high: int, otherwise: str = "") -> int:
    """`value` as an int; raises `ValueError` unless it is an integer with low <= value <= high (booleans are none)."""
    more = f" {otherwise}" if otherwise else ""
    if not is_integer(value) or not low <= operator.index(value) <= high:
        raise ValueError(f"{where}: found {name}={value!r}, wanted an integer from {low} to {high}{more}")
    return operator.index(value)


def rows_of(where: str, rows: Any, num: int) -> np.ndarray:
    """Row numbers out of different indices 0 ... num - 1 or a boolean mask [num]; raises `ValueError` for any other."""
    found = indices_of(where, rows, num, "rows")
    if not len(found):
        raise ValueError(f"{where}: found no rows, wanted at least one")
    if len(np.unique(found)) < len(found):
        raise ValueError(f"{where}: found {len(found) - len(np.unique(found))} rows twice, wanted different ones")
    return found


def indices_of(where: str, indices: Any, num: int, name: str = "indices") -> np.ndarray:
    """Indices 0 ... num - 1 [B], or those that a boolean mask [num] marks; raises `ValueError` for any other."""
    found = np.asarray(indices)
    if found.dtype == bool and found.shape == (num,):
        found = np.flatnonzero(found)
    if found.shape == (0,):
        found = found.astype(np.int64)  # of an empty list
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: found {name} of {found.dtype} {found.shape}, wanted integers [M] or a boolean mask ({num},)"
        )
    if len(found) and (found.min() < 0 or found.max() >= num):
        raise ValueError(f"{where}: found {name} from {found.min()} to {found.max()}, wanted 0 to {num - 1}")
    return found.astype(np.int64)
