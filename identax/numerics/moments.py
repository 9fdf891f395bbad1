"""Means and deviations of numbers that come in batches, from which no offset takes digits."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """How many there were, and entry by entry their mean and the sum of their squared deviations from it."""

    count: Float[Array, ""]
    mean: Float[Array, "..."]
    squares: Float[Array, "..."]

    @property
    def variance(self) -> Float[Array, "..."]:
        """squares / count, and 0 before the first one."""
        return self.squares / jnp.maximum(self.count, 1)


def no_moments(shape: tuple[int, ...], dtype: Any = float) -> Moments:
    """Before the first batch, of entries of this shape."""
    zeros = jnp.zeros(shape, dtype)
    return Moments(jnp.zeros((), zeros.dtype), zeros, zeros)


def with_batch(moments: Moments, x: Float[Array | np.ndarray, "N ..."]) -> Moments:
    """The moments of all before and of x [N, ...] together.

        n' = n + N,    m' = m + (mean(x) - m) N / n',    s' = s + sum (x - mean(x))^2 + (mean(x) - m)^2 n N / n'

    Source: Chan, Golub & LeVeque 1983; for N = 1 it is Welford's recursion.
    """
    num, mean = len(x), x.mean(axis=0)
    total, shift = moments.count + num, mean - moments.mean
    squares = moments.squares + ((x - mean[None]) ** 2).sum(axis=0) + shift**2 * moments.count * num / total
    return Moments(total, moments.mean + shift * num / total, squares)
