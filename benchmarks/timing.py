"""Timing on a machine that is not quiet: warm, alternating rounds, medians with their spread."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Seconds of one unit of work (a step, a run): median, quartiles and extremes over `rounds` timings."""

    median: float
    low: float
    high: float
    fastest: float
    slowest: float
    rounds: int

    @staticmethod
    def of(seconds: list[float]) -> "Measurement":
        """Summarises timings; `low` and `high` are the quartiles."""
        low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75]).tolist()
        return Measurement(median, low, high, min(seconds), max(seconds), len(seconds))


def alternate(
    runs: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    units: Mapping[str, int] | int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Measurement]:
    """Times the callables in turn and summarises, see `in_turn`."""
    found = in_turn(runs, rounds=rounds, units=units, clock=clock)
    return {name: Measurement.of(values) for name, values in found.items()}


def in_turn(
    runs: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    units: Mapping[str, int] | int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Times the callables in turn, A B A B, so that a change of the machine's load meets all of them alike.

    Each is called once before, untimed, and must return only when its work is done (see `wait`). `units` is how many
    units of work one call does; the result is in seconds per unit, one number a round. `clock`: what tells the seconds;
    `time.process_time` counts those of the processor in this process, which other processes hardly change.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for call in runs.values():
        call()
    for _ in range(rounds):
        for name, call in runs.items():
            begin = clock()
            call()
            count = units if isinstance(units, int) else units[name]
            seconds[name].append((clock() - begin) / count)
    return seconds


def excess(seconds: list[float], base: list[float]) -> tuple[float, float]:
    """By how many per cent `seconds` lie above `base`, both of `in_turn`: an estimate, and what is beyond doubt.

    The estimate is the median of the ratios within a round. Load from outside can lift it, and it can lift the ratio of
    the fastest rounds, but seldom both: the smaller of the two is what no such load explains.
    """
    ratio = np.median(np.divide(seconds, base)).item()
    return 100 * (ratio - 1), 100 * (min(ratio, min(seconds) / min(base)) - 1)


def compiled(fn: Callable, *args: Any, **jit: Any) -> tuple[Any, float]:
    """Returns the compiled program of `fn` for `args`, and the seconds that tracing and compiling took."""
    begin = time.perf_counter()
    program = jax.jit(fn, **jit).lower(*args).compile()
    return program, time.perf_counter() - begin


def result(
    settings: Mapping[str, Any],
    unit: str,
    compile_seconds: Mapping[str, float],
    timings: Mapping[str, Measurement],
    derived: Mapping[str, float],
) -> dict[str, Any]:
    """What a benchmark's function returns: all of it goes into the JSON."""
    return {
        "settings": settings,
        "unit": unit,
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }


def wait(tree: Any) -> Any:
    """Blocks until every array of `tree` is computed."""
    return jax.block_until_ready(tree)


def load() -> list[float] | None:
    """Load average over 1, 5 and 15 minutes: what else the machine was doing; None where there is none."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
