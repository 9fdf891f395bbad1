"""Numbers of the host on their way into float32: what is large and does not matter is taken off while they are exact.

JAX cuts float64 and int64 to 32 bits unless told otherwise: seconds since 1970 keep 128 s then. So NumPy arrays, lists
and pandas' tables are centred (`centred`) or replaced by their ranks (`ranks`) in float64 before; where neither leaves
the result alone, a loss of digits that matters is refused (`kept`). Floats of JAX, traced or not, stay as they are;
its integers become floats after their first row is taken off.
"""

from decimal import Decimal
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import concrete

_LOST = 1e-3
"""share of a column's spread that rounding may take"""


def numbers(where: str, name: str, value: Any) -> Any:
    """`value` as an array of real numbers or booleans: what is JAX's stays there, all else is read by NumPy.

    Raises `ValueError` for complex numbers, text, dates, masked entries and lists of unequal lengths.
    """
    if isinstance(value, list | tuple) and any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
        value = jnp.asarray(value)
    if not isinstance(value, jax.Array):
        if np.ma.is_masked(value):
            raise ValueError(f"{where}: found {name} with masked entries, wanted numbers in all of them")
        try:
            value = np.asarray(value)
            value = value.astype(float) if _holds_numbers(value) else value
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            message = str(error).splitlines()[0]
            raise ValueError(f"{where}: found {name} that is no array ({message}), wanted real numbers") from None
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:  # JAX knows no wider one
        value = value.astype(np.float64)
    real = (jnp.floating, jnp.integer, jnp.bool_)
    if not any(jnp.issubdtype(value.dtype, kind) for kind in real):
        raise ValueError(f"{where}: found {name} of type {value.dtype}, wanted real numbers")
    return value


def _holds_numbers(value: np.ndarray) -> bool:
    """Whether these are objects, all of them numbers: a table of floats and booleans is, None is none."""
    return value.dtype == object and all(isinstance(entry, Real | Decimal | np.bool_) for entry in value.reshape(-1))


def float_type(*values: Any) -> Any:
    """The common floating-point type of arrays, at least float32; JAX's default float for integers and booleans."""
    canonical = jax.dtypes.canonicalize_dtype
    floats = [canonical(value.dtype) for value in values if jnp.issubdtype(value.dtype, jnp.floating)]
    return jnp.result_type(*floats, jnp.float32) if floats else canonical(np.float64)


def centred(where: str, *, axis: int = 0, scaled: bool = False, dtype: Any = None, **arrays: Any) -> list[Any]:
    """The arrays less what the first one has as mean along `axis`, as floats (of `dtype`, or of their common type).

    For results that a shift common to the arrays does not change. Exact on the host (module), where what is constant
    up to the rounding of its own type becomes exactly 0 in the first array. `scaled`: also over a power of two per
    column, common to the arrays, that brings the first one's entries below 1; nothing else of their digits changes.
    Raises `ValueError` as `numbers`, and for numbers too large for the type.
    """
    values = {name: numbers(where, name, value) for name, value in arrays.items()}
    dtype = float_type(*values.values()) if dtype is None else dtype
    first = next(iter(values.values()))
    if np.ndim(first) == 0 or 0 in np.shape(first):
        return [jnp.asarray(value, dtype) for value in values.values()]
    on_device = all(isinstance(value, jax.Array) for value in values.values())
    if (concrete(first) is None or on_device) and jnp.issubdtype(first.dtype, jnp.floating):
        return [kept(where, name, value, dtype) for name, value in values.items()]
    pivot = first[(slice(None),) * (axis % first.ndim) + (slice(0, 1),)]
    if concrete(first) is not None and not on_device:
        return _centred_on_host(where, values, np.asarray(pivot), axis, scaled, dtype)
    return [
        _less(value, pivot, dtype) if isinstance(value, jax.Array) else kept(where, name, value, dtype) - pivot
        for name, value in values.items()
    ]


def _centred_on_host(where: str, values: dict[str, Any], pivot: np.ndarray, axis: int, scaled: bool, dtype: Any):
    first, *_ = values.values()
    with np.errstate(invalid="ignore", over="ignore"):
        moved = _less_exactly(first, pivot)
        largest = np.abs(moved).max(axis=axis, keepdims=True)
        constant = largest <= 4 * _eps(first.dtype) * np.abs(pivot.astype(float))
        mean = np.where(constant, 0.0, moved.mean(axis=axis, keepdims=True))
        moved = np.where(constant, 0.0, moved - mean)
        size = np.abs(moved).max(axis=axis, keepdims=True)
        exponent = np.where(np.isfinite(size) & (size > 0) & scaled, np.frexp(size)[1], 0)
        found = []
        for name, value in values.items():
            if concrete(value) is None:
                shift, scale = np.asarray(pivot + mean, dtype), np.asarray(np.ldexp(1.0, -exponent), dtype)
                found.append((jnp.asarray(value, dtype) - shift) * scale)
            else:
                part = moved if value is first else _less_exactly(value, pivot) - mean
                found.append(_cast(where, name, np.ldexp(part, -exponent), dtype))
    return found


def within_range(value: Any, *others: Any) -> tuple[Any, ...]:
    """Arrays of the host over a power of two, that of the first one's largest entry: for results free of their scale.

    What is JAX's, or has an entry that is not finite, stays as it is.
    """
    arrays = value, *others
    if not all(isinstance(array, np.ndarray) for array in arrays) or not np.isfinite(value).all() or not value.any():
        return arrays
    scale = np.ldexp(1.0, -int(np.frexp(np.abs(value).max())[1]) // 2)  # in two steps: 2^1074 is no float
    return tuple(array * scale * scale for array in arrays)


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0


def ranks(where: str, name: str, value: Any) -> Any:
    """`value` [N, m] of the host by the ranks 1..N in its columns, equal entries sharing the mean; JAX's as it is.

    What is not finite stays so. Raises `ValueError` as `numbers`.
    """
    value = numbers(where, name, value)
    known = concrete(value)
    if known is None or (isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)):
        return value
    found = np.empty(known.shape)
    for column, ranked in zip(known.T, found.T, strict=True):
        _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranked[:] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return np.where(np.isfinite(known), found, known.astype(float))


def kept(where: str, name: str, value: Any, dtype: Any = None) -> Any:
    """`value` in JAX's floating-point type, for results that a shift of it changes: nothing is taken off.

    Raises `ValueError` as `numbers`, and where that type would round a known column by more than a thousandth of
    what it varies by: of a column that does not vary, as a single row's, what all entries vary by.
    """
    value = numbers(where, name, value)
    dtype = float_type(value) if dtype is None else dtype
    known = concrete(value)
    exact = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
    if known is None or exact or 0 in known.shape:
        return jnp.asarray(value, dtype)
    cast = _cast(where, name, known, dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        pivot = known[:1] if known.ndim else known
        moved = np.abs(_less_exactly(known, pivot))
        lost = np.abs(cast.astype(float) - known.astype(float))
        axis = 0 if known.ndim else None
        spread, lost = moved.max(axis=axis), lost.max(axis=axis)
        offset = np.abs(known.astype(float)).max(axis=axis)
        rounding = 4 * _eps(known.dtype) * offset
        overall = np.abs(_less_exactly(known, known.reshape(-1)[0])).max()
        spread = np.where(spread > rounding, spread, overall)
        wrong = np.reshape((lost > _LOST * spread) & (spread > rounding), -1)
    if wrong.any():
        column = int(np.argmax(wrong))
        raise ValueError(
            f"{where}: found {name} around an offset of {np.reshape(offset, -1)[column]:g} with a spread of "
            f"{np.reshape(spread, -1)[column]:g}, of which {np.dtype(dtype)} keeps too few digits; wanted values whose "
            "offset is taken off, or JAX with 64-bit types (jax_enable_x64)"
        )
    return cast


def apart(where: str, **arrays: Any) -> list[Any] | None:
    """The arrays [..., n] less one row that is common to them, where their cast would lose digits; None where not.

    For results that depend on differences between rows alone, such as distances. Arrays of the host are looked at: of
    JAX's floats the digits are gone. Raises `ValueError` for numbers too large for the type.
    """
    values = {name: numbers(where, name, value) for name, value in arrays.items()}
    if not all(isinstance(value, np.ndarray) and value.size for value in values.values()):
        return None
    dtype = float_type(*values.values())
    if not any(_loses(value, dtype) for value in values.values()):
        return None
    first = next(iter(values.values()))
    pivot = first.reshape(-1, first.shape[-1])[0]
    return [_cast(where, name, _less_exactly(value, pivot), dtype) for name, value in values.items()]


def _loses(value: np.ndarray, dtype: Any) -> bool:
    """Whether rounding to `dtype` moves an entry by more than it rounds the column's spread."""
    rows = value.reshape(-1, value.shape[-1])
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        lost = np.abs(rows.astype(dtype).astype(float) - rows.astype(float)).max(axis=0)
        return bool((lost > _eps(np.dtype(dtype)) * np.abs(_less_exactly(rows, rows[0])).max(axis=0)).any())


def _cast(where: str, name: str, value: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        found = value.astype(dtype)
    if (np.isinf(found) & np.isfinite(value)).any():
        raise ValueError(
            f"{where}: found {name} up to {np.abs(value).max():g}, wanted numbers that {found.dtype} holds"
        )
    return found


def _less_exactly(value: Any, pivot: Any) -> np.ndarray:
    """value - pivot in float64, exact for integers of any size."""
    value, pivot = np.asarray(value), np.asarray(pivot)
    whole = all(jnp.issubdtype(array.dtype, jnp.integer) for array in (value, pivot))
    if whole and max(value.itemsize, pivot.itemsize) > 4 and max(_largest(value), _largest(pivot)) > 2**53:
        return (value.astype(object) - pivot.astype(object)).astype(float)
    wide = np.result_type(np.float64, *(a.dtype for a in (value, pivot) if a.dtype.kind == "f"))
    return (value.astype(wide) - pivot.astype(wide)).astype(float)


def _largest(value: np.ndarray) -> int:
    return max(int(value.max()), -int(value.min())) if value.size else 0


def _less(value: jax.Array, pivot: jax.Array, dtype: Any) -> jax.Array:
    """value - pivot in floats, for integers by their high and low bits: nothing overflows and one rounding is left."""
    if not all(jnp.issubdtype(array.dtype, jnp.integer) and array.dtype.itemsize >= 4 for array in (value, pivot)):
        return value.astype(dtype) - pivot.astype(dtype)
    bits = 12 if max(value.dtype.itemsize, pivot.dtype.itemsize) == 4 else 32
    high = (value >> bits).astype(dtype) - (pivot >> bits).astype(dtype)
    mask = 2**bits - 1
    return high * 2.0**bits + ((value & mask).astype(dtype) - (pivot & mask).astype(dtype))
