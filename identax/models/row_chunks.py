"""Rows of a batch a few at a time, computed again backwards: memory of a few rows, numbers of all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def over_rows(fn: Callable[..., Any], key: Any, rows: Any, chunk: int) -> Any:
    """`fn(key, *rows)` for a map of rows [N, ...] to [N, ...], `chunk` of them at a time, by a loop on the device.

    Backwards every chunk is computed again, so that of what `fn` keeps only one chunk's exists; that costs one more
    forward pass. Values and gradients are those of all rows at once, if each depends on itself alone; of several draws
    (dropout) chunk j has those of `fold_in(key, j)`. The last chunk is filled up with zeros, which are cut.
    """
    num = len(jax.tree.leaves(rows)[0])
    count = -(-num // chunk)

    def split(leaf):
        filled = jnp.pad(leaf, ((0, count * chunk - num), *((0, 0),) * (leaf.ndim - 1)))
        return filled.reshape(count, chunk, *leaf.shape[1:])

    def one(part):
        number, rows = part
        return fn(None if key is None else jax.random.fold_in(key, number), *rows)

    # Inside a loop nothing can undo the recomputation, so the barriers against that are left out.
    found = jax.lax.map(jax.checkpoint(one, prevent_cse=False), (jnp.arange(count), jax.tree.map(split, rows)))
    return jax.tree.map(lambda leaf: leaf.reshape(count * chunk, *leaf.shape[2:])[:num], found)
