"""Checks shared by the losses; they run while tracing, on shapes and on values that are already known."""

from typing import TYPE_CHECKING

import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

# Loose on purpose: what does not fit is refused by the checks below, with a message that says what is wanted.
Embeddings = Float[Array | np.ndarray, "..."]
Scalar = ArrayLike
if TYPE_CHECKING:
    BlockSize = int | None
else:
    BlockSize = object  # so that a number with a fraction meets the check below, also where types are checked


def is_traced(value) -> bool:
    """Says whether `value` is unknown while tracing (under jit, vmap or grad)."""
    return isinstance(value, Tracer)


def check_scalar(where: str, name: str, value: Scalar) -> None:
    """Raises `ValueError` unless `value` is a scalar and, where it is known, positive and finite."""
    if np.ndim(value) != 0:
        raise ValueError(f"{where}: found {name} of shape {np.shape(value)}, wanted a scalar")
    if not is_traced(value) and not (np.all(np.asarray(value) > 0) and np.all(np.isfinite(np.asarray(value)))):
        raise ValueError(f"{where}: found {name}={np.asarray(value)}, wanted a positive finite number")


def check_nonnegative(where: str, name: str, value: Scalar) -> None:
    """Raises `ValueError` unless `value` is a scalar and, where it is known, finite and not negative."""
    if np.ndim(value) != 0:
        raise ValueError(f"{where}: found {name} of shape {np.shape(value)}, wanted a scalar")
    if not is_traced(value) and not 0 <= np.asarray(value) < np.inf:
        raise ValueError(f"{where}: found {name}={np.asarray(value)}, wanted a finite number >= 0")


def check_precision(where: str, precision: Embeddings, dim: int, *, signed: bool = False) -> None:
    """Raises `ValueError` unless `precision` is [dim] and, where it is known, finite and (not `signed`) positive."""
    if np.shape(precision) != (dim,):
        raise ValueError(f"{where}: found precision of shape {np.shape(precision)}, wanted ({dim},)")
    if not is_traced(precision):
        values = np.asarray(precision)
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{where}: found precision {values}, wanted positive finite entries")
        if not signed and not np.all(values > 0):
            raise ValueError(
                f"{where}: found precision {values}, wanted positive finite entries (signed=True permits the others)"
            )


def check_pairs(where: str, z: Embeddings, z_pos: Embeddings) -> None:
    """Raises `ValueError` unless `z` and `z_pos` are both [N, n] with N, n >= 1."""
    if np.ndim(z) != 2 or np.shape(z) != np.shape(z_pos):
        raise ValueError(
            f"{where}: found z of shape {np.shape(z)} and z_pos of shape {np.shape(z_pos)}, "
            "wanted two arrays of one shape [N, n]"
        )
    if 0 in np.shape(z):
        raise ValueError(f"{where}: found an empty batch of shape {np.shape(z)}, wanted N, n >= 1")


def check_block_size(where: str, block_size: BlockSize, num: int) -> None:
    """Raises `ValueError` unless `block_size` is None or a whole number in 1 .. `num`."""
    if block_size is None:
        return
    whole = isinstance(block_size, int | np.integer) and not isinstance(block_size, bool)
    if not whole or not 1 <= block_size <= num:
        raise ValueError(
            f"{where}: found block_size={block_size!r}, wanted None or a whole number from 1 to the {num} rows at hand"
        )
