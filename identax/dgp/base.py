"""What data-generating processes share: their type, one draw, and parameters as pytrees."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import Shape, check_positive

T = TypeVar("T")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sample:
    """One draw of a world: `latents` z and `observations` x = g(z), leading axis n in every leaf.

    For worlds of pairs both fields are tuples (anchor, positive).
    """

    latents: Any
    observations: Any


class DGP(NamedTuple):
    """A data-generating process as two pure functions.

    `init(key) -> truth`: the ground-truth parameters, any pytree of arrays.
    `sample(truth, key, n) -> Sample`: n draws (n static), leading axis n.
    """

    init: Callable[..., Any]
    sample: Callable[..., Sample]


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


def positive_parameter(
    where: str, name: str, value: ArrayLike | Sequence[Any] | None, shape: Shape
) -> Float[Array, "..."]:
    """Returns a parameter that a world takes itself, or its `init`, as an array.

    Raises `ValueError` where it is missing, of another shape or has a concrete entry that is not finite and > 0.
    """
    if value is None:
        raise ValueError(f"{where}: found no {name}, wanted one, here or as init(key, {name}=...)")
    check_positive(where, name, value, shape)
    return jnp.asarray(value, float)


def compiled(function: Callable[..., T], *, static: tuple[int, ...] = ()) -> Callable[..., T]:
    """`function` of positional arguments, compiled once per shape where none is traced: for what holds a loop.

    Outside `jit` a loop whose body is a new function compiles at every call, and hundreds of such programs fill the
    memory maps of a process. Where an argument is traced the operations go into the caller's program as they are.
    `static`: the numbers of arguments that are no arrays, hashable.
    """
    program = jax.jit(function, static_argnums=static)

    def call(*arguments):
        arrays = [argument for number, argument in enumerate(arguments) if number not in static]
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arrays))
        return (function if traced else program)(*arguments)

    return call
