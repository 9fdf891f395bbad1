"""Rates as functions of the step; the rate itself may be traced, so that a sweep over it compiles once."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_between, check_count


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


def inverse_square_root(rate: ArrayLike, warmup: int) -> Callable[[Any], Any]:
    """A schedule: up to `rate` in `warmup` steps, then down with the root of the step.

        rate t / warmup    for t < warmup,    rate sqrt(warmup / t)    afterwards

    It is 0 at the first step, t = 0, which moves no weight.
    Raises `ValueError` for warmup < 1, and beyond what counts steps, 2^31 - 1.
    Source: Vaswani et al. 2017, as the code of Reizinger et al. 2024 has it.
    """
    check_count("inverse_square_root", "warmup", warmup)
    check_between("inverse_square_root", "warmup", warmup, 1, 2**31 - 1)

    def at(count):
        # The root's branch is not taken at 0, but its slope would be NaN there.
        later = jnp.sqrt(warmup / jnp.maximum(count, 1))
        return rate * jnp.where(count < warmup, count / warmup, later)

    return at
