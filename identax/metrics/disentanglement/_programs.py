"""Programs around a caller's functions, kept for the next call with the same ones."""

import collections
import functools
import types
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

_MOST = 8
"""programs that are kept; the oldest goes, with what its functions refer to"""
_MOST_THINGS = 500
_LIBRARIES = {"jax", "jaxlib", "numpy", "flax", "optax", "identax", "builtins", "functools", "math"}
_kept: collections.OrderedDict[Hashable, tuple[Any, list[Any]]] = collections.OrderedDict()


def kept_program(function: Callable, given: tuple[Any, ...], static: Hashable) -> Callable:
    """`jax.jit(function)`, or what an earlier call made of the same `given` and `static`.

    The same: functions and all that they refer to (closures, globals, defaults, attributes, entries of containers)
    are the same objects, numbers are equal. A notebook that binds `params` anew under a function of the same
    name, or changes a dictionary in place, gets another program, not the scores of the old parameters. Functions with
    anything that can change unseen, such as NumPy arrays, get a program of their own, as do those that refer to more
    than is worth looking at.
    """
    held: list[Any] = []
    key: list[Hashable] = [static]
    if not _look(list(given), key, held):
        return jax.jit(function)
    entry = _kept.pop(tuple(key), None) or (jax.jit(function), held)
    _kept[tuple(key)] = entry  # the newest; `held` keeps the identities in the key taken
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return entry[0]


def _look(things: list[Any], key: list[Hashable], held: list[Any]) -> bool:
    """Appends what tells the things apart to the key, and themselves to `held`; False where they may change unseen."""
    seen: set[int] = set()
    while things:
        thing = things.pop()
        if isinstance(thing, bool | int | float | complex | str | bytes | None | types.EllipsisType):
            key.append((type(thing).__name__, repr(thing)))
            continue
        # A bound method is a new object whenever it is looked up.
        key.append("method" if isinstance(thing, types.MethodType) else id(thing))
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        held.append(thing)
        parts = _parts(thing)
        if parts is None or len(seen) > _MOST_THINGS:
            return False
        key.append(len(parts))
        things.extend(parts)
    return True


def _parts(thing: Any) -> list[Any] | None:
    """What a thing refers to; None if it may change unseen."""
    if isinstance(thing, Tracer):
        return None
    if isinstance(thing, jax.Array | types.ModuleType | type | types.CodeType | np.dtype | np.generic):
        return []
    if isinstance(thing, types.MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, functools.partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, types.FunctionType):
        if (thing.__module__ or "").split(".")[0] not in _LIBRARIES:
            return _parts_of_function(thing)
        # Of a library only what it was given matters: its globals stay, its decorators pass on what they wrap.
        if hasattr(thing, "__wrapped__"):
            return [thing.__wrapped__]
        return _cells(thing)
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, types.BuiltinFunctionType):
        return []
    if hasattr(thing, "__wrapped__"):  # a function that was jitted, say
        return [thing.__wrapped__]
    return [vars(thing)] if hasattr(thing, "__dict__") else None


def _parts_of_function(function: types.FunctionType) -> list[Any] | None:
    parts = _cells(function)
    if parts is None:
        return None
    parts += [function.__code__, function.__defaults__, function.__kwdefaults__]
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return parts + [function.__globals__[name] for name in sorted(names & function.__globals__.keys())]


def _cells(function: types.FunctionType) -> list[Any] | None:
    try:
        return [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # one that is not filled yet
        return None
