"""Rates as functions of the step; the rate itself may be traced, so that a sweep over it compiles once."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_count


def cosine(rate: ArrayLike, num_steps: int, flat: float | int = 0.0) -> Callable[[Any], Any]:
    """A schedule: `rate` for the share `flat` of `num_steps`, then half a cosine down to 0, which it stays at.

        rate (1 + cos(pi max(t / num_steps - flat, 0) / (1 - flat))) / 2    for t <= num_steps

    Raises `ValueError` for num_steps < 1 and a share outside [0, 1).
    Source: Loshchilov & Hutter 2017, without restarts.
    """
    check_count("cosine", "num_steps", num_steps)
    if not 0 <= flat < 1:
        raise ValueError(f"cosine: found flat={flat}, wanted a share in [0, 1)")

    def at(count):
        done = (count / num_steps - flat) / (1 - flat)
        return rate * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done, 0, 1)))

    return at
