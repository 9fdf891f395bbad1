"""Dropout from sixteen random bits an element: a quarter of the work of one generator block for each."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt16

from identax.numerics import apart, threefry

_STEPS = 2**16


def short_bits(key: Any, num: int) -> UInt16[Array, " num"]:
    """`num` independent uniform numbers 0 .. 2^16 - 1, four from each block of `threefry`.

    Both of its words count: JAX's own bits take one word of each block, by passes over memory on a CPU.
    """
    seed = jax.random.bits(key, (2,), "uint32")
    blocks = -(-num // 4)
    counters = jnp.arange(blocks, dtype=jnp.uint32)
    words = threefry((seed[0], seed[1]), counters, jnp.zeros_like(counters))
    # Not merged with what reads them, where a word would be drawn again for each of its halves.
    return jnp.concatenate([apart(_halves, word) for word in words])[:num]


def _halves(words: Any) -> Array:
    return jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)


def kept(key: Any, rate: float, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Bool[Array, "..."]], float]:
    """What dropout keeps of arrays of these shapes, and 1 / (1 - r) that it is multiplied by.

    An entry is False with probability r, the `rate` to the nearest multiple of 2^-16: at most 7.7e-6 from it. All are
    drawn at once. A rate of 1 keeps nothing.
    """
    below = round(rate * _STEPS)
    sizes = [math.prod(shape) for shape in shapes]
    bits, found, at = short_bits(key, sum(sizes)), [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        part = bits[at : at + size].reshape(shape)
        found.append(jnp.zeros(shape, bool) if below == _STEPS else part >= below)
        at += size
    return found, _STEPS / max(_STEPS - below, 1)


class ShortDropout(nn.Module):
    """`flax.linen.Dropout` with the draws of `kept`, from the stream "dropout"."""

    rate: float

    @nn.compact
    def __call__(self, x, deterministic):
        if deterministic or self.rate == 0:
            return x
        (passes,), scale = kept(self.make_rng("dropout"), self.rate, [x.shape])
        return jnp.where(passes, x * scale, 0)
