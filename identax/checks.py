"""The refusals of the whole library: `ValueError("where: found X, wanted Y")`, before anything is compiled.

Every check takes `where` (who asks), the `name` of what was given and its value. Values that are unknown, because a
program is being traced or other hosts hold them, pass: only their shapes are looked at.
"""

import difflib
import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Shape = tuple[int | str, ...]
"""sizes of axes: a number, or the name of a size >= 1 that is free"""


LARGEST_COUNT = 2**31 - 1
"""that 32 bits hold, as steps, indices and labels do"""


def concrete(value: Any) -> np.ndarray | None:
    """Returns the value as NumPy where it is known now, None for a tracer or an array that other hosts hold."""
    if isinstance(value, Tracer) or (isinstance(value, jax.Array) and not value.is_fully_addressable):
        return None
    return np.asarray(value)


def check_choice(where: str, name: str, value: str, choices: Sequence[str]) -> None:
    """Raises `ValueError` with the nearest known spelling unless `value` is one of `choices`."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)
        raise ValueError(f"{where}: found {name}={value!r}, wanted one of {list(choices)}; did you mean {near[0]!r}?")


def check_type(where: str, name: str, value: Any, kind: type) -> None:
    """Raises `ValueError` unless `value` is a `kind`: a name, say, in the place of what it names."""
    if not isinstance(value, kind):
        raise ValueError(f"{where}: found {name} of type {type(value).__name__}, wanted one of type {kind.__name__}")


def check_key(where: str, key: Any) -> None:
    """Raises `ValueError` for other than one key of `jax.random.key`: a seed, say."""
    if not jnp.issubdtype(getattr(key, "dtype", np.dtype(float)), jax.dtypes.prng_key) or key.shape:
        raise ValueError(f"{where}: found key={key!r}, wanted one key of jax.random.key")


def check_flag(where: str, name: str, value: Any) -> None:
    """Raises `ValueError` for other than True and False: "none" would switch on what it names."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{where}: found {name}={value!r}, wanted True or False")


def is_integer(value: Any) -> bool:
    """Whether this is one integer, of Python, NumPy or JAX; booleans and floats are none, nor what is traced."""
    if isinstance(value, bool | np.bool_):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_count(where: str, name: str, value: Any, least: int = 1) -> None:
    """Raises `ValueError` for what is no integer (2.5, True, NaN), for a number below `least` and one of 2^31 or more,
    which counters and indices of 32 bits do not hold.
    """
    if not is_integer(value):
        raise ValueError(f"{where}: found {name}={value!r}, wanted an integer of at least {least}")
    if value < least:
        raise ValueError(f"{where}: found {name}={value}, wanted at least {least}")
    if value > LARGEST_COUNT:
        raise ValueError(f"{where}: found {name}={value}, wanted at most {LARGEST_COUNT}")


def counts_of(where: str, **counts: Any) -> tuple[int, ...]:
    """These as Python's integers, which a shape and a module's field must be. Raises `ValueError` as `check_count`."""
    for name, value in counts.items():
        check_count(where, name, value)
    return tuple(operator.index(value) for value in counts.values())


def sizes_of(where: str, name: str, sizes: Any) -> tuple[int, ...]:
    """`sizes` as integers; raises `ValueError` for none at all, and for other than integers from 1 to 2^31 - 1."""
    found: Any = sizes
    if isinstance(sizes, Iterable) and not isinstance(sizes, str | bytes) and getattr(sizes, "ndim", 1):
        found = tuple(sizes)
    if (
        not isinstance(found, tuple)
        or not found
        or not all(is_integer(size) and 1 <= size <= LARGEST_COUNT for size in found)
    ):
        raise ValueError(f"{where}: found {name}={found!r}, wanted one or more positive integers of 32 bits")
    return tuple(operator.index(size) for size in found)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of what is an array or becomes one; raises `ValueError` for lists of unequal lengths."""
    try:
        return np.shape(value)
    except ValueError:
        raise ValueError("found an argument of lists of unequal lengths, wanted an array of numbers") from None


def check_shape(where: str, name: str, value: Any, shape: Shape) -> None:
    """Raises `ValueError` unless `value` has that shape, () for a scalar."""
    try:
        found = shape_of(value)
    except ValueError as error:
        raise ValueError(f"{where}: {name}: {error}") from None
    fits = len(found) == len(shape) and all(
        size >= 1 if isinstance(want, str) else size == want for want, size in zip(shape, found, strict=True)
    )
    if not fits:
        wanted = f"[{', '.join(map(str, shape))}]" if shape else "a scalar"
        free = ", ".join(size for size in shape if isinstance(size, str))
        raise ValueError(f"{where}: found {name} of shape {found}, wanted {wanted}{f' with {free} >= 1' * bool(free)}")


def check_finite(where: str, name: str, value: Any, shape: Shape | None = None) -> None:
    """Raises `ValueError` unless the entries are finite, and of that shape."""
    _check_entries(where, name, value, shape, lambda known: np.isfinite(known), "finite")


def check_real(where: str, name: str, value: Any) -> None:
    """Raises `ValueError` for complex numbers and for what is not a number; a traced value is judged by its type."""
    dtype = value.dtype if isinstance(value, jax.Array) else np.asarray(value).dtype
    if dtype.kind == "O":
        dtype = _numbers_of(where, name, np.asarray(value)).dtype
    if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating)):
        raise ValueError(f"{where}: found {name} of type {dtype}, wanted real numbers")


def check_positive(where: str, name: str, value: Any, shape: Shape | None = None) -> None:
    """Raises `ValueError` unless the entries are finite and > 0, and of that shape."""
    check_real(where, name, value)
    _check_entries(where, name, value, shape, lambda known: known > 0, "positive finite")


def check_nonnegative(where: str, name: str, value: Any, shape: Shape | None = None) -> None:
    """Raises `ValueError` unless the entries are finite and >= 0, and of that shape."""
    check_real(where, name, value)
    _check_entries(where, name, value, shape, lambda known: known >= 0, "non-negative finite")


def check_between(
    where: str, name: str, value: Any, low: float | int, high: float | int, shape: Shape | None = None
) -> None:
    """Raises `ValueError` unless low <= entries <= high, and of that shape."""
    if shape is not None:
        check_shape(where, name, value, shape)
    check_real(where, name, value)
    known = concrete(value)
    if known is None or ((known >= low) & (known <= high)).all():
        return
    if known.ndim == 0:
        raise ValueError(f"{where}: found {name}={known}, wanted a number from {low} to {high}")
    raise ValueError(f"{where}: found {name} from {known.min()} to {known.max()}, wanted {low} to {high}")


def _check_entries(where, name, value, shape, good, wanted) -> None:
    if shape is not None:
        check_shape(where, name, value, shape)
    known = concrete(value)
    if known is None:
        return
    if not any(jnp.issubdtype(known.dtype, kind) for kind in (jnp.number, jnp.bool_)):
        known = _numbers_of(where, name, known)
    if (np.isfinite(known) & good(known)).all():
        return
    if known.ndim == 0:
        raise ValueError(f"{where}: found {name}={known}, wanted a {wanted} number")
    wrong = int((~np.isfinite(known)).sum())
    found = f"{wrong} non-finite entries in {name}" if wrong else f"{name} down to {known.min():g}"
    raise ValueError(f"{where}: found {found}, wanted {wanted} entries")


def _numbers_of(where: str, name: str, known: np.ndarray) -> np.ndarray:
    """Objects that are numbers as floats; raises `ValueError` for text, dates and the like."""
    if known.dtype == object and all(isinstance(entry, Real | np.bool_) for entry in known.reshape(-1)):
        try:
            return known.astype(float)
        except OverflowError:
            raise ValueError(f"{where}: found {name} with an integer beyond 1e308, wanted real numbers") from None
    raise ValueError(f"{where}: found {name} of type {known.dtype}, wanted real numbers")
