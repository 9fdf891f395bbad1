"""Checks shared by the losses; they run while tracing, on shapes and on values that are already known."""

from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_finite, check_shape, concrete

# Loose on purpose: what does not fit is refused by the checks, with a message that says what is wanted.
Embeddings = Float[Array | np.ndarray, "..."]
Scalar = ArrayLike
if TYPE_CHECKING:
    BlockSize = int | None
else:
    BlockSize = object  # so that a number with a fraction meets the check below, also where types are checked


def check_precision(where: str, precision: Embeddings, dim: int, *, signed: bool = False) -> None:
    """Raises `ValueError` unless `precision` is [dim] and, where it is known, finite and (not `signed`) positive."""
    if signed:
        check_finite(where, "precision", precision, (dim,))
        return
    check_shape(where, "precision", precision, (dim,))
    known = concrete(precision)
    if known is not None and not (np.isfinite(known) & (known > 0)).all():
        raise ValueError(
            f"{where}: found precision {known}, wanted positive finite entries (signed=True permits negative ones)"
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
