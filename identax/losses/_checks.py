"""Checks shared by the losses, on shapes and on values that are already known; what they let pass becomes floats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from identax.checks import check_between, check_finite, check_shape, concrete, is_integer, shape_of
from identax.inputs import apart, kept, numbers

# Loose on purpose: what does not fit is refused by the checks, with a message that says what is wanted.
if TYPE_CHECKING:
    Embeddings = ArrayLike | Sequence[Any]
    Labels = ArrayLike | Sequence[Any]
    Scalar = ArrayLike
    BlockSize = int | None
else:
    Embeddings = Labels = Scalar = BlockSize = object


def as_floats(where: str, **arrays: Any) -> list[Array]:
    """Returns the arrays as floats: integers and booleans in JAX's default type, floats in their own.

    Raises `ValueError` by name for complex entries, for what is not a number, for arrays without any entry, whose
    mean would be NaN, and for arrays of the host of which float32 keeps too few digits.
    """
    return [_as_float(where, name, value) for name, value in arrays.items()]


def as_differences(where: str, **arrays: Any) -> list[Array]:
    """`as_floats` for losses of differences between rows: where float32 would lose digits of arrays of the host, less
    one row common to them, so that an offset costs none.
    """
    moved = (
        apart(where, **arrays) if all(len(shape_of(value)) and np.size(value) for value in arrays.values()) else None
    )
    return as_floats(where, **arrays) if moved is None else [jnp.asarray(value) for value in moved]


def as_number(where: str, name: str, value: Any) -> Any:
    """Returns a parameter of a loss as `as_floats` does, but a Python number as a Python float, which adapts its type.

    0-dimensional by the checks that know what it is for.
    """
    return float(value) if type(value) in (bool, int, float) else _as_float(where, name, value)


def as_labels(where: str, name: str, value: Any, num: int) -> Array:
    """Returns labels as int32, or int64 where `num` of them need it: arithmetic of a narrow type would wrap.

    Raises `ValueError` by name unless the type is an integer one and the entries, where they are known, in 0..num-1.
    """
    array = numbers(where, name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{where}: found {name} of type {array.dtype}, wanted whole numbers of an integer type")
    check_between(where, name, array, 0, num - 1)
    wide = jnp.int32 if num <= np.iinfo(np.int32).max else jnp.int64
    return jnp.asarray(array).astype(wide) if isinstance(array, jax.Array) else jnp.asarray(array.astype(wide))


def as_actions(where: str, logits: Any, actions: Any, **others: Any) -> Array:
    """Actions [...] as labels of the last axis of logits [..., A]; raises `ValueError` unless they and others fit."""
    if logits.ndim < 1:
        raise ValueError(f"{where}: found logits of shape {logits.shape}, wanted [..., A]")
    actions = as_labels(where, "actions", actions, logits.shape[-1])
    shapes = {"actions": actions.shape, **{name: array.shape for name, array in others.items()}}
    if any(shape != logits.shape[:-1] for shape in shapes.values()):
        raise ValueError(f"{where}: found logits of shape {logits.shape} and {shapes}, wanted [..., A] and [...]")
    return actions


def chosen_entries(values: Array, labels: Array) -> Array:
    """Of each row on the last axis of `values` [..., A] the entry that its label [...] names."""
    return jnp.take_along_axis(values, labels[..., None], axis=-1)[..., 0]


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
    if len(shape_of(z)) != 2 or shape_of(z) != shape_of(z_pos):
        raise ValueError(
            f"{where}: found z of shape {shape_of(z)} and z_pos of shape {shape_of(z_pos)}, "
            "wanted two arrays of one shape [N, n]"
        )
    if 0 in shape_of(z):
        raise ValueError(f"{where}: found an empty batch of shape {shape_of(z)}, wanted N, n >= 1")


def check_block_size(where: str, block_size: BlockSize, num: int) -> None:
    """Raises `ValueError` unless `block_size` is None or a whole number in 1 .. `num`."""
    if block_size is None:
        return
    if not is_integer(block_size) or not 1 <= block_size <= num:
        raise ValueError(
            f"{where}: found block_size={block_size!r}, wanted None or a whole number from 1 to the {num} rows at hand"
        )


def _as_float(where, name, value):
    array = numbers(where, name, value)
    if 0 in array.shape:
        raise ValueError(f"{where}: found an empty batch: {name} of shape {array.shape}, wanted at least one entry")
    floating = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize <= 8
    dtype = jax.dtypes.canonicalize_dtype(array.dtype) if floating else jnp.result_type(float)
    # On the host, where it is wider: integers above 32 bits would wrap on their way.
    return jnp.asarray(array, dtype) if isinstance(array, jax.Array) else jnp.asarray(kept(where, name, array, dtype))
