"""Means and deviations of numbers that come in batches, from which no offset takes digits."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """Of all numbers so far, entry by entry: how many, the first one, and of what they are away from it the mean and
    the sum of squared deviations from that mean.
    """

    count: Float[Array, ""]
    first: Float[Array, "..."]
    away: Float[Array, "..."]
    squares: Float[Array, "..."]

    @property
    def mean(self) -> Float[Array, "..."]:
        """Of all numbers, 0 before the first one."""
        return self.first + self.away

    @property
    def variance(self) -> Float[Array, "..."]:
        """squares / count: exactly 0 of equal numbers, and before the first one."""
        return self.squares / jnp.maximum(self.count, 1)

    def centred(self, x: Float[Array | np.ndarray, "N ..."]) -> Float[Array, "N ..."]:
        """x [N, ...] less the mean, without rounding that to the digits that an offset leaves."""
        return (jnp.asarray(x) - self.first[None]) - self.away[None]


def no_moments(shape: tuple[int, ...], dtype: Any = float) -> Moments:
    """Before the first batch, of entries of this shape."""
    zeros = jnp.zeros(shape, dtype)
    return Moments(jnp.zeros((), zeros.dtype), zeros, zeros, zeros)


def with_batch(moments: Moments, x: Float[Array | np.ndarray, "N ..."]) -> Moments:
    """The moments of all before and of x [N, ...] together.

        n' = n + N,    m' = m + (mean(x) - m) N / n',    s' = s + sum (x - mean(x))^2 + (mean(x) - m)^2 n N / n'

    of what is away from the first number of all. Source: Chan, Golub & LeVeque 1983; for N = 1 Welford's recursion.
    """
    first = jnp.where(moments.count > 0, moments.first, x[0])
    apart = x - first[None]
    num, mean = len(x), apart.mean(axis=0)
    total, shift = moments.count + num, mean - moments.away
    squares = moments.squares + ((apart - mean[None]) ** 2).sum(axis=0) + shift**2 * moments.count * num / total
    return Moments(total, first, moments.away + shift * num / total, squares)
