"""Random words for draws inside a training step, and small numbers out of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.numerics import threefry

ENTRIES = 2
"""the use of words for the entries of a window, beside those that say where it lies"""


def folded(key: Any, number: Any) -> Any:
    """`jax.random.fold_in(key, number)` to the last bit, of all numbers [...] at once, by the rounds written out."""
    numbers = jnp.asarray(number, jnp.uint32)
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers.reshape(-1)).reshape(numbers.shape)
    first, second = jax.random.key_data(key)
    pair = jnp.stack(threefry((first, second), jnp.zeros_like(numbers), numbers), axis=-1)
    return jax.random.wrap_key_data(pair, impl="threefry2x32")


def words(key: Any, size: int, use: int = 1) -> Any:
    """`size` random words uint32 of a key, others for every `use` >= 1.

    Of JAX's default keys both words of each block are kept, where `jax.random.bits` makes one of them; the blocks are
    none that `fold_in` or `bits` use. Keys of other generators go through `jax.random.bits`.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return jax.random.bits(jax.random.fold_in(key, use), (size,), jnp.uint32)
    first, second = jax.random.key_data(key)
    low = jnp.arange((size + 1) // 2, dtype=jnp.uint32)
    found = jnp.concatenate(threefry((first, second), jnp.full_like(low, use), low))[:size]
    # What takes single words out of it must not compute the blocks again for each.
    return jax.lax.optimization_barrier(found)


def below(word: Any, bound: Any, most: int) -> Any:
    """An integer, uniform on 0..bound-1 up to bound / 2^32, out of a random word; `most` >= bound is static."""
    bound = jnp.asarray(bound, jnp.uint32)
    if most >= 2**16:
        return (word % bound).astype(jnp.int32)
    # floor(word bound / 2^32), a product of 48 bits in two halves: a CPU has no vectors of remainders.
    low = ((word & np.uint32(0xFFFF)) * bound) >> np.uint32(16)
    return (((word >> np.uint32(16)) * bound + low) >> np.uint32(16)).astype(jnp.int32)


def unit_interval(word: Any) -> Any:
    """A float32, uniform on the multiples of 2^-24 in [0, 1), out of a random word."""
    return (word >> np.uint32(8)).astype(jnp.float32) * np.float32(2**-24)
