"""Dropout from sixteen random bits an element: a quarter of the work of one generator block for each."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt16, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_STEPS = 2**16


def threefry(key: tuple[Any, Any], counters: tuple[Any, Any]) -> tuple[UInt32[Array, " num"], UInt32[Array, " num"]]:
    """Threefry-2x32 with 20 rounds: two words of 32 random bits for each pair of counters, a pair of [num] words.

    The generator of JAX's keys. Here it is one elementwise expression, which a compiler keeps in registers, and both
    words count: JAX's own bits take one word of each block, by passes over memory on a CPU.
    Source: Salmon et al. 2011, section 3.3.
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    first, second = counters[0] + words[0], counters[1] + words[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            first = first + second
            second = first ^ ((second << rotation) | (second >> (32 - rotation)))
        first, second = first + words[(group + 1) % 3], second + words[(group + 2) % 3] + jnp.uint32(group + 1)
    return first, second


def short_bits(key: Any, num: int) -> UInt16[Array, " num"]:
    """`num` independent uniform numbers 0 .. 2^16 - 1, four from each block of `threefry`."""
    seed = jax.random.bits(key, (2,), "uint32")
    blocks = -(-num // 4)
    counters = jnp.arange(blocks, dtype=jnp.uint32)
    words = jnp.concatenate(threefry((seed[0], seed[1]), (counters, jnp.zeros_like(counters))))
    return jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:num]


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
