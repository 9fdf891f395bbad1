"""Embedding many examples a few at a time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from identax.checks import is_integer


def by_chunk(fn: Callable[..., Any], images: Any, chunk: int, *each: Any) -> Any:
    """Applies `fn(*each of the chunk, images)` to `chunk` images at a time: never all activations at once.

    `images` [N, ...], any array of examples; a leaf of `each` is [N / chunk, ...], one entry for every chunk, such as
    its key. Leaves of what `fn` returns, [chunk, ...], become [N, ...]. One loop on the device, as in `jax.lax.map`;
    gradients keep all activations, `micro_batched` does not.
    Raises `ValueError` unless `chunk` divides N.
    """
    num = np.shape(images)[0]
    if not is_integer(chunk) or chunk < 1 or num % chunk:
        raise ValueError(f"by_chunk: found N={num} examples, wanted a multiple of chunk={chunk}")
    parts = images.reshape(-1, chunk, *images.shape[1:])
    found = jax.lax.map(lambda part: fn(*part), (*each, parts))
    return jax.tree.map(lambda leaf: leaf.reshape(num, *leaf.shape[2:]), found)
