"""Examples that lie on the device: held one by one, or as the windows of one series."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from identax.data import Windows


class Examples(NamedTuple):
    """`num` examples; `get(rows [B]) -> (inputs [B, ...], targets [B, ...])`, to be called in a compiled program."""

    num: int
    get: Callable[[Any], tuple[Any, Any]]


def held(inputs: Any, targets: Any) -> Examples:
    """Examples of arrays [N, ...]; inputs become float32 where they are taken, so that bytes lie there as bytes.

    Raises `ValueError` for no examples and unequal lengths.
    """
    x, y = jnp.asarray(inputs), jnp.asarray(targets)
    if x.ndim < 1 or not len(x) or x.shape[:1] != y.shape[:1]:
        raise ValueError(f"held: found inputs {x.shape} and targets {y.shape}, wanted [N, ...] of one N, at least 1")
    return Examples(len(x), lambda rows: (x[rows].astype(jnp.float32), y[rows]))


def of_series(windows: Windows, rows: Any = None, entries: Any = None) -> Examples:
    """Those of the windows of one series that `rows` [N] names, all by default; the series is held, not its windows.

    Of each window the `entries` are given, by number, all by default.
    Raises `ValueError` for windows that are not consecutive ones of one series.
    """
    inputs = windows.inputs
    num, length = inputs.shape[:2]
    series = np.concatenate([inputs[:, 0], inputs[-1, 1:]])
    if not np.array_equal(series[length - 1 :], inputs[:, -1]):
        raise ValueError(f"of_series: found {num} windows of several series, wanted those of one, in order")
    starts = jnp.arange(num) if rows is None else jnp.asarray(rows)
    offsets = jnp.arange(length) if entries is None else jnp.asarray(entries)
    held_series, targets = jnp.asarray(series, jnp.float32), jnp.asarray(windows.targets)

    def get(rows):
        first = starts[rows]
        return held_series[first[:, None] + offsets[None]], targets[first]

    return Examples(len(starts), get)
