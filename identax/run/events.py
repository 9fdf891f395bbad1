"""When two events are one program: equal functions at once, other functions by the text that they lower to."""

import functools
import hashlib
import types
from collections.abc import Hashable
from typing import Any

from jax.stages import Lowered

_DEPTH = 8  # a function may hold itself
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


class Change:
    """An event's change of the state, equal to any that makes the same program for certain, found without tracing.

    Functions are compared by code, globals, defaults and what they close over, so that lambdas of one loop are equal
    if all that they hold is; `functools.partial` objects and methods by their parts; tuples by their entries; numbers
    and strings by type and value (1, 1.0 and True make different programs); everything else by identity.
    """

    def __init__(self, change: Any) -> None:
        self.change, self._parts = change, _parts(change, _DEPTH)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Change) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)


class _Itself:
    """Equal to itself alone; keeps the object alive, so that its id is no other's."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


def _parts(value: Any, depth: int) -> Hashable:
    if isinstance(value, _PLAIN):
        return type(value), repr(value)
    if depth == 0:
        return _Itself(value)
    if isinstance(value, tuple):
        return type(value), *(_parts(entry, depth - 1) for entry in value)
    if isinstance(value, functools.partial):
        return functools.partial, _parts((value.func, value.args, *sorted(value.keywords.items())), depth)
    if isinstance(value, types.MethodType):
        return types.MethodType, _parts((value.__func__, value.__self__), depth)
    if isinstance(value, types.FunctionType):
        keywords = sorted((value.__kwdefaults__ or {}).items())
        cells = tuple(_contents(cell) for cell in value.__closure__ or ())
        held = (value.__code__, value.__globals__, value.__defaults__, *keywords, cells)
        return types.FunctionType, _parts(held, depth)
    return _Itself(value)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return cell


def program_text(lowered: Lowered) -> Hashable:
    """Equal for lowered programs that compute the same: a digest of the text with its constants.

    A callback is no more than a number in it, so a program with one is equal to itself alone.
    """
    text = lowered.as_text()
    return _Itself(lowered) if "callback" in text else hashlib.sha256(text.encode()).digest()
