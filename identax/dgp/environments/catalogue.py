"""All environments by name."""

import functools
from collections.abc import Hashable
from typing import Any

from identax.checks import check_choice
from identax.dgp.environments.chip8 import CHIP8_GAMES, chip8_game
from identax.dgp.environments.gymnax_games import ACTIONS, gymnax_game
from identax.dgp.environments.minigrid import MINIGRIDS, minigrid
from identax.dgp.environments.protocol import Environment
from identax.dgp.environments.square84 import square84

ENVIRONMENTS = ("square84", *ACTIONS, *MINIGRIDS, *CHIP8_GAMES)


def environment(name: str, **options: Any) -> Environment:
    """The environment of that name, the same object for the same options.

    | names | extra | options |
    |---|---|---|
    | "square84" | none | `block` |
    | "Breakout-MinAtar" and others of gymnax | rl | `gymnax_game` |
    | "MiniGrid-DoorKey-8x8" and others of xminigrid | rl | `minigrid` |
    | "octax-brix" and others of octax | octax | `chip8_game` |

    Atari's games stand side by side in one emulator: `atari`.
    Raises `ValueError` for another name, with the nearest one, for options that are unknown, have no hash or do not
    fit, and without the package that has the game, with the command that installs it.
    """
    check_choice("environment", "name", name, ENVIRONMENTS)
    for option, value in options.items():
        if not isinstance(value, Hashable):
            raise ValueError(f"environment {name}: found {option}={value!r}, wanted a number or another constant")
    try:
        return _made(name, **options)
    except TypeError as error:
        if not options:
            raise
        raise ValueError(
            f"environment {name}: found options {options}, which the game does not take: {error}"
        ) from error


@functools.cache
def _made(name: str, **options: Any) -> Environment:
    if name in ACTIONS:
        return gymnax_game(name, **options)
    if name in MINIGRIDS:
        return minigrid(name, **options)
    if name in CHIP8_GAMES:
        return chip8_game(name, **options)
    unknown = sorted(set(options) - {"block"})
    if unknown:
        raise ValueError(f"environment square84: found options {unknown}, wanted any of ['block']")
    return square84(**options)
