"""What a search looks through: numbers and choices by name, and random cells of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from identax.checks import check_between, check_finite

Cell = dict[str, Any]
"""one value of every dimension of the space, by name"""


class Uniform(NamedTuple):
    """A number between `low` and `high`."""

    low: float | int
    high: float | int


class LogUniform(NamedTuple):
    """A number between `low` > 0 and `high` whose logarithm is uniform."""

    low: float | int
    high: float | int


class Choice(NamedTuple):
    """One of `values`, of any kind that can be compared, all equally likely at first."""

    values: tuple[Any, ...]


Space = Mapping[str, Any]
"""a `Uniform`, `LogUniform` or `Choice` by name"""


def window_space(
    places: Sequence[Any],
    *,
    p: Any = (0.05, 0.4),
    c: Any = (0.03, 0.35),
) -> dict[str, Any]:
    """The published space of the two operators on windows: `place` (a layer, or a layer and a gate), `p` and `c`.

        p ~ LogUniform(.05, .4),   c ~ Uniform(.03, .35)

    Raises `ValueError` for no place, one that is there twice, p outside (0, 1], whose logarithm is drawn, and c outside
    (0, 1]. Source: Reizinger & Gyires-Toth 2019, code.
    """
    for name, bounds in {"p": p, "c": c}.items():
        check_between("window_space", name, bounds, 0, 1, (2,))
    if c[0] <= 0:
        raise ValueError(f"window_space: found c from {c[0]}, wanted a share of an axis in (0, 1]")
    space = {"place": Choice(tuple(places)), "p": LogUniform(*p), "c": Uniform(*c)}
    check_space("window_space", space)
    return space


def check_space(where: str, space: Space) -> None:
    """Raises `ValueError` for an empty space, and for a dimension that has no law, or one that draws nothing."""
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"{where}: found an empty space, wanted a dict of Uniform, LogUniform or Choice by name")
    for name, law in space.items():
        if isinstance(law, Choice):
            values = list(law.values)
            if not values or any(value in values[:place] for place, value in enumerate(values)):
                raise ValueError(f"{where}: found {name} of the values {values}, wanted one or more, all different")
        elif isinstance(law, Uniform | LogUniform):
            check_finite(where, name, [law.low, law.high], (2,))
            if not law.low < law.high or (isinstance(law, LogUniform) and law.low <= 0):
                least = "0 < " if isinstance(law, LogUniform) else ""
                raise ValueError(f"{where}: found {name} from {law.low} to {law.high}, wanted {least}low < high")
        else:
            raise ValueError(f"{where}: found {name}={law!r}, wanted Uniform, LogUniform or Choice")


def drawn_cell(space: Space, seed: int, number: int) -> Cell:
    """The random cell of trial `number`: every dimension by its name's own stream, so that others never shift it."""
    words = {name: list(name.encode()) for name in space}
    uniforms = {name: np.random.default_rng([seed, number, *word]).uniform() for name, word in words.items()}
    return {name: _quantile(law, uniforms[name]) for name, law in space.items()}


def _quantile(law: Uniform | LogUniform | Choice, u: float) -> Any:
    if isinstance(law, Choice):
        return law.values[int(u * len(law.values))]
    if isinstance(law, LogUniform):
        low, high = math.log(law.low), math.log(law.high)
        return min(max(math.exp(low + u * (high - low)), float(law.low)), float(law.high))
    return law.low + u * (law.high - law.low)
