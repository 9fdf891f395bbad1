"""Functions that are one program where a person calls them, and plain operations inside a program of someone else."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.core import Tracer

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, *, static: tuple[int, ...] = ()) -> F:
    """`function` of positional arguments, compiled once per shape where no argument is traced.

    Called outside `jit`, loops are programs of their own, compiled at every call where their bodies are new functions;
    hundreds of such calls fill the memory maps of the process. Where an argument is traced (`jit`, `vmap`, `grad`) the
    operations go into the caller's program as they are, so that this changes no bit of it. `static`: the numbers of
    arguments that are no arrays, hashable.
    """
    program = jax.jit(function, static_argnums=static)

    @functools.wraps(function)
    def call(*arguments):
        arrays = [argument for number, argument in enumerate(arguments) if number not in static]
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arrays))
        return (function if traced else program)(*arguments)

    return call  # pyright: ignore[reportReturnType]
