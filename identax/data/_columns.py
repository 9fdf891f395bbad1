"""One array of a user's data: what it may hold, and what the device would change in it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.data._checks import name_of

_STEPS = 256
"""of float32 in a standard deviation, at least: the rounding then is a millionth of the variance"""


def as_leaf(path: Any, value: Any) -> Any:
    """An array [N, ...], NumPy's or JAX's, that training can use; raises `ValueError` naming it."""
    name = name_of(path)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"arrays: found {np.ma.count_masked(value)} masked entries in {name}, wanted none")
    leaf = value if isinstance(value, jax.Array) else _as_numpy(name, value)
    number = jnp.issubdtype(leaf.dtype, jnp.number) or jnp.issubdtype(leaf.dtype, jnp.bool_)
    if not number or (leaf.dtype.byteorder if isinstance(leaf, np.ndarray) else "=") not in "=|":
        raise ValueError(f"arrays: found {name} of dtype {leaf.dtype}, wanted numbers or booleans of this machine")
    if leaf.ndim == 0 or not leaf.size:
        raise ValueError(f"arrays: found {name} of shape {leaf.shape}, wanted [N, ...] with no axis of size 0")
    if isinstance(leaf, np.ndarray) and not _mapped(leaf):
        _check_values(name, leaf)
    elif isinstance(leaf, jax.Array):
        _check_finite(name, np.asarray(leaf))
    return leaf


def _as_numpy(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:  # rows of unequal lengths
        raise ValueError(f"arrays: found {name} of which NumPy makes no array ({error})") from error


def _mapped(leaf: Any) -> bool:
    while leaf is not None and not isinstance(leaf, np.memmap):
        leaf = getattr(leaf, "base", None)
    return leaf is not None


def _check_finite(name: str, leaf: np.ndarray) -> None:
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return
    bad = ~np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"arrays: found {name} not finite in {bad.sum()} of {len(leaf)} examples, the first {bad.argmax()}; "
            "wanted finite numbers"
        )


def _check_values(name: str, leaf: np.ndarray) -> None:
    _check_finite(name, leaf)
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    if dtype == leaf.dtype:
        return
    if leaf.dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if leaf.min() < limits.min or leaf.max() > limits.max:
            raise ValueError(
                f"arrays: found {name} from {leaf.min()} to {leaf.max()}, wanted integers that {dtype} holds "
                "(or jax_enable_x64)"
            )
    elif leaf.dtype.kind == "f":
        _check_digits(name, leaf.reshape(len(leaf), -1), np.finfo(dtype))


def _check_digits(name: str, columns: np.ndarray, kept: Any) -> None:
    """Refuses columns that the narrower floats overflow, or leave too few different values."""
    largest = np.maximum(columns.max(axis=0), -columns.min(axis=0))
    if (largest > kept.max).any():
        raise ValueError(f"arrays: found {name} up to {largest.max():g}, wanted floats that {kept.dtype} holds")
    spread = columns.std(axis=0)
    coarse = (spread < _STEPS * kept.eps * largest) & (np.ptp(columns, axis=0) > 1e-12 * largest)
    if coarse.any():
        column = int(coarse.argmax())
        where = f" column {column}" if columns.shape[1] > 1 else ""
        raise ValueError(
            f"arrays: found {name}{where} with offset {columns[:, column].mean():.6g} and spread "
            f"{spread[column]:.3g}, of which {kept.dtype} leaves {spread[column] / (kept.eps * largest[column]):.2g} "
            "steps; wanted centred numbers (x - x.mean(axis=0)), or jax_enable_x64"
        )
