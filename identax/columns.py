"""Values of a hyper-parameter as one array, without a change that nobody asked for."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import is_integer


def whole_number(what: str, value: Any, low: int, high: int) -> int:
    """`value` as an int; raises `ValueError` unless it is an integer with low <= value < high (booleans are none)."""
    if not is_integer(value) or not low <= value < high:
        raise ValueError(f"{what}: found {value!r}, wanted an integer from {low} to {high - 1}")
    return operator.index(value)


def as_column(what: str, column: Any) -> np.ndarray:
    """The values of one hyper-parameter [V, ...] in the dtype that the trials get.

    Booleans and integers keep their dtype as far as JAX has it (64 bits become 32 without 64-bit types); with a float
    among them all become JAX's default float. A scalar is a list of one.
    Raises `ValueError` for no entries or entries of unequal shape, anything but real numbers and booleans, NaN, and
    values that the dtype cannot hold (an integer exactly, any other number but for rounding: not as 0 or infinity), or
    not tell apart from another of the list (16,777,217 from 16,777,216).
    """
    entries = [np.asarray(entry) for entry in (column if isinstance(column, Sequence) or np.ndim(column) else [column])]
    shapes = {entry.shape for entry in entries}
    if len(shapes) != 1:
        raise ValueError(f"{what} has entries of shapes {sorted(shapes)}, wanted one or more of one shape")
    dtypes = [entry.dtype for entry in entries]
    for dtype in dtypes:
        if dtype.kind != "b" and not jnp.issubdtype(dtype, jnp.integer) and not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"{what} holds {dtype}, wanted real numbers or booleans")
    if any(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        return _as_floats(what, entries)
    dtype = np.result_type(*dtypes)
    if dtype.kind == "b":
        return np.stack(entries)
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(np.int64 if dtype.kind == "f" else dtype))  # of int64 and uint64
    limits = np.iinfo(dtype)
    for value in itertools.chain(*(entry.reshape(-1).tolist() for entry in entries)):
        if not limits.min <= value <= limits.max:
            raise ValueError(f"{what} holds {value}, wanted integers from {limits.min} to {limits.max} ({dtype})")
    return np.stack([entry.astype(dtype) for entry in entries])


def equals_given(column: np.ndarray, value: Any) -> np.ndarray:
    """Mask [T] of the entries of a column [T] of `as_column` that stand for `value`.

    Equal to what the column's dtype makes of it, and without a tolerance: 0.1 is the float32 next to it, but 1e-50 is
    not 0, 16,777,217 not 16,777,216 and 2.5 not 2.
    """
    given = np.asarray(value).item()
    if not isinstance(given, bool | int | float):
        raise ValueError(f"found {value!r}, wanted a real number or a boolean")
    if column.dtype.kind != "f":
        return np.array([entry == given for entry in column.tolist()], bool)  # Python compares exactly
    with np.errstate(over="ignore"):
        kept = np.asarray(given, np.float64).astype(column.dtype).item()
    return (column == kept) & _is_held(given, kept)


def _is_held(given: Any, kept: Any) -> bool:
    """Whether a float `kept` stands for the number `given`: rounded at most, and integers not even that."""
    if isinstance(given, int) or kept == 0 or math.isinf(kept):
        return given == kept
    return True


def _as_floats(what: str, entries: list[np.ndarray]) -> np.ndarray:
    exact = [tuple(entry.reshape(-1).tolist()) for entry in entries]  # Python compares integers with floats exactly
    if any(value != value for entry in exact for value in entry):
        raise ValueError(f"{what} holds NaN, wanted numbers")
    with np.errstate(over="ignore"):
        column = np.stack([entry.astype(jax.dtypes.canonicalize_dtype(np.float64)) for entry in entries])
    seen: dict[tuple, tuple] = {}
    for given, kept in zip(exact, column.reshape(len(column), -1).tolist(), strict=True):
        one, other = seen.setdefault(tuple(kept), given), given
        if one != other or not all(map(_is_held, given, kept)):
            found = " and ".join(str(entry[0] if len(entry) == 1 else entry) for entry in dict.fromkeys((one, other)))
            raise ValueError(f"{what} holds {found}, wanted values that {column.dtype} holds and tells apart")
    return column
