"""Parameters of a law: pytree registration and the checks that only look at concrete values."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

T = TypeVar("T")


def pytree_params(cls: type[T]) -> type[T]:
    """Registers a frozen dataclass as a pytree whose fields are all leaves.

    Unflattening bypasses `__init__`: a gradient or a batch of parameters is not a parameter and must not
    meet the constructor's checks.
    """
    names = tuple(field.name for field in dataclasses.fields(cls))  # pyright: ignore[reportArgumentType]

    def flatten_with_keys(obj):
        return [(jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in names], None

    def flatten(obj):
        return tuple(getattr(obj, name) for name in names), None

    def unflatten(_, leaves):
        obj = object.__new__(cls)
        for name, leaf in zip(names, leaves, strict=True):
            object.__setattr__(obj, name, leaf)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def concrete(value: Any) -> np.ndarray | None:
    """Returns the value as NumPy where it is known now, None for a tracer or an array that other hosts hold."""
    if isinstance(value, Tracer) or (isinstance(value, jax.Array) and not value.is_fully_addressable):
        return None
    return np.asarray(value)


def require_positive(owner: str, **values: Any) -> None:
    """Raises `ValueError` where a concrete value has an entry that is not finite and > 0."""
    for name, value in values.items():
        known = concrete(value)
        if known is not None and not (np.isfinite(known).all() and (known > 0).all()):
            raise ValueError(f"{owner}: found {name}={known}, wanted finite and > 0")


def checked_positive(
    owner: str, name: str, values: ArrayLike | Sequence[Any] | None, shape: tuple[int | None, ...]
) -> Float[Array, "..."]:
    """`values` as an array of `shape` (None: any size), for a parameter that a world takes itself or its `init` takes.

    Raises `ValueError` where it is missing, of another shape or has a concrete entry that is not finite and > 0.
    """
    if values is None:
        raise ValueError(f"{owner}: found no {name}, wanted one, here or as init(key, {name}=...)")
    require_positive(owner, **{name: values})
    array = jnp.asarray(values, float)
    fits = array.ndim == len(shape) and all(
        want in (None, found) for want, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "[" + ", ".join("K" if size is None else str(size) for size in shape) + "]"
        raise ValueError(f"{owner}: found {name} of shape {array.shape}, wanted {wanted}")
    return array


def check_num(owner: str, num: int) -> None:
    """Raises `ValueError` for a draw of less than one sample."""
    if num < 1:
        raise ValueError(f"{owner}: found num={num} samples, wanted at least 1")
