"""Batches out of a data set that lies whole on the device."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key


def epoch_indices(key: Key[Array, ""], step: ArrayLike, *, num_examples: int, batch_size: int) -> Int[Array, " B"]:
    """Indices of the batch of step `step` (0-based) when every epoch walks through a fresh permutation.

        steps per epoch S = floor(num_examples / batch_size),    e = floor(step / S),    i = step mod S
        permutation of `fold_in(key, e)`, entries i * batch_size ... (i + 1) * batch_size - 1

    Within an epoch no index comes twice; if batch_size divides num_examples each comes exactly once, otherwise
    num_examples mod batch_size of them, others every epoch, sit it out. Depends on (key, step) alone, so a resumed
    run goes on with the same batches. Costs one permutation per call: about
    1 ms for 5,000 examples and 15 ms for 60,000 on a CPU core, so large sets are better fed by a loader.

    Raises `ValueError` unless 1 <= batch_size <= num_examples.
    """
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"epoch_indices: found batch_size={batch_size} and num_examples={num_examples}, "
            "wanted 1 <= batch_size <= num_examples"
        )
    step = jnp.asarray(step)
    per_epoch = num_examples // batch_size
    order = jax.random.permutation(jax.random.fold_in(key, step // per_epoch), num_examples)
    return jax.lax.dynamic_slice_in_dim(order, (step % per_epoch) * batch_size, batch_size)


def take(data: Any, indices: Int[Array, " B"]) -> Any:
    """Gathers the rows `indices` of every leaf [N, ...]."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, indices, axis=0), data)
