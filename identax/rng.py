"""Named random streams: adding a consumer never shifts the numbers another one sees."""

import zlib

import jax
from jaxtyping import Array, Int, Key

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
    return jax.random.fold_in(key, zlib.crc32(name.encode()) | _NAMED)


def step_key(key: Key[Array, ""], step: Int[Array, ""] | int) -> Key[Array, ""]:
    """Returns the key of training step `step` (0-based): `fold_in(key, step)`.

    It depends on nothing but the trial's key and the counter, so a resumed run continues bit for bit.
    """
    return jax.random.fold_in(key, step)
