"""Named random streams: adding a consumer never shifts the numbers another one sees."""

import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, Int, Key

# Ids of named streams have the top bit set and step counters do not, so the key of step t can never
# equal the key of a named stream of the same parent.
_NAMED = 1 << 31


def stream(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Returns the sub-stream `name` of `key`: `fold_in(key, crc32(name) | 2^31)`.

    The same (key, name) always gives the same stream, whichever other streams exist.
    Raises `ValueError` on an empty name.
    """
    if not name:
        raise ValueError("stream: found an empty name, wanted a non-empty string such as 'data'")
    return jax.random.fold_in(key, stream_id(name))


def stream_id(name: str) -> int:
    """The number that `stream` folds into a key: crc32(name) | 2^31."""
    return zlib.crc32(name.encode()) | _NAMED


def streams(key: Key[Array, ""], names: Sequence[str]) -> Key[Array, " n"]:
    """The sub-streams `names` of `key`, those of `stream`, by one call of the generator."""
    if not all(names):
        raise ValueError(f"streams: found an empty name among {list(names)}, wanted non-empty strings")
    ids = np.array([stream_id(name) for name in names], np.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, ids)


def step_key(key: Key[Array, ""], step: Int[Array, ""] | int) -> Key[Array, ""]:
    """Returns the key of training step `step` (0-based): `fold_in(key, step)`.

    It depends on nothing but the trial's key and the counter, so a resumed run continues bit for bit.
    """
    return jax.random.fold_in(key, step)


def permutation(key: Key[Array, ""], size: int) -> Int[Array, " size"]:
    """A uniformly random order of 0..size-1.

    With 64-bit types one sort of integers, random above and the index below, where `jax.random.permutation` sorts
    pairs twice: a tenth of its time on a CPU. Two of the random parts (of 64 bits less those of `size`) agree with a
    probability below size^3 / 2^64, and then stay in order. Without 64-bit types it is `jax.random.permutation`.
    Raises `ValueError` for size < 1.
    """
    if size < 1:
        raise ValueError(f"permutation: found {size=}, wanted at least 1")
    if jax.dtypes.canonicalize_dtype(np.uint64) != np.uint64:
        return jax.random.permutation(key, size)
    index_bits = max(int(size - 1).bit_length(), 1)
    below = np.uint64(2**index_bits - 1)
    words = jax.random.bits(key, (size,), jnp.uint64)
    ordered = jnp.sort((words & ~below) | jnp.arange(size, dtype=jnp.uint64), stable=False)
    return (ordered & below).astype(jnp.int32)


def normals_and_uniforms(
    key: Key[Array, ""], num_normals: int, num_uniforms: int, size: int, dtype=jnp.float32
) -> tuple[Float[Array, "n size"], Float[Array, "u size"]]:
    """Draws N(0, 1) [num_normals, size] and U(0, 1) [num_uniforms, size], all independent, from one call.

    For float32 and JAX's default keys it keeps both words of every Threefry block, where `jax.random` keeps one of
    each two: on a CPU, where the cipher is the whole cost, that takes half the time. Otherwise it is `jax.random`.
    The words depend on key and position alone, so the numbers are the same under jit, vmap and any sharding.
    """
    if jnp.dtype(dtype) != jnp.float32 or jax.random.key_impl(key) != "threefry2x32":
        uniforms = jax.random.uniform(stream(key, "uniforms"), (num_uniforms, size), dtype)
        return jax.random.normal(stream(key, "normals"), (num_normals, size), dtype), uniforms
    rows = num_normals + num_uniforms
    words = threefry_2x32(jax.random.key_data(key), jnp.arange(rows * size, dtype=jnp.uint32)).reshape(rows, size)
    # 23 random bits behind the exponent of 1.0: uniform on [1, 2)
    uniforms = jax.lax.bitcast_convert_type((words >> 9) | np.uint32(0x3F800000), jnp.float32) - 1.0
    above_minus_one = np.nextafter(np.float32(-1), np.float32(0))  # erf_inv(-1) is not finite
    symmetric = jnp.maximum(uniforms[:num_normals] * np.float32(2) + above_minus_one, above_minus_one)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(symmetric), uniforms[num_normals:]
