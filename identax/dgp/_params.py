"""Parameters of a law: pytree registration and the checks that only look at concrete values."""

import dataclasses
from typing import Any, TypeVar

import jax
import numpy as np
from jax.core import Tracer

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
    if isinstance(value, Tracer) or (
        isinstance(value, jax.Array) and not value.is_fully_addressable
    ):
        return None
    return np.asarray(value)


def require_positive(owner: str, **values: Any) -> None:
    """Raises `ValueError` where a concrete value has an entry that is not finite and > 0."""
    for name, value in values.items():
        known = concrete(value)
        if known is not None and not (np.isfinite(known).all() and (known > 0).all()):
            raise ValueError(f"{owner}: found {name}={known}, wanted finite and > 0")
