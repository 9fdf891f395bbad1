"""Batches out of a data set that lies whole on the device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from identax.checks import concrete
from identax.data._checks import integer, name_of


def epoch_indices(key: Key[Array, ""], step: Any, *, num_examples: Any, batch_size: Any) -> Int[Array, " B"]:
    """Indices of the batch of step `step` (0-based) when every epoch walks through a fresh permutation.

        steps per epoch S = floor(num_examples / batch_size),    e = floor(step / S),    i = step mod S
        permutation of `fold_in(key, e)`, entries i * batch_size ... (i + 1) * batch_size - 1

    Within an epoch no index comes twice; if batch_size divides num_examples each comes exactly once, otherwise
    num_examples mod batch_size of them, others every epoch, sit it out. Depends on (key, step) alone, so a resumed
    run goes on with the same batches. Costs one permutation per call: about
    1 ms for 5,000 examples and 15 ms for 60,000 on a CPU core, so large sets are better fed by a loader.

    Raises `ValueError` unless 1 <= batch_size <= num_examples, all integers, and for a step that is no integer or is
    known to be negative.
    """
    num_examples = integer("epoch_indices", "num_examples", num_examples)
    batch_size = integer("epoch_indices", "batch_size", batch_size)
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"epoch_indices: found batch_size={batch_size} and num_examples={num_examples}, "
            "wanted 1 <= batch_size <= num_examples"
        )
    known = concrete(step)
    step = jnp.asarray(step)
    if step.shape or not jnp.issubdtype(step.dtype, jnp.integer) or (known is not None and known < 0):
        found = f"{step.dtype} {step.shape}" if known is None or step.shape else repr(known.item())
        raise ValueError(f"epoch_indices: found step={found}, wanted an integer of 0 or more")
    per_epoch = num_examples // batch_size
    order = jax.random.permutation(jax.random.fold_in(key, step // per_epoch), num_examples)
    return jax.lax.dynamic_slice_in_dim(order, (step % per_epoch) * batch_size, batch_size)


def take(data: Any, indices: Any) -> Any:
    """Gathers the rows `indices` [B] of every leaf [N, ...]; a boolean mask [N] that is known takes the rows it marks.

    Raises `ValueError` for leaves of unequal lengths, indices of floats or of another rank, and known ones outside
    0 ... N - 1.
    """
    leaves = [(name_of(path), np.shape(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(data)]
    lengths = {shape[:1] for _, shape in leaves}
    if len(lengths) != 1 or () in lengths:
        found = ", ".join(f"{name} {shape}" for name, shape in leaves)
        raise ValueError(f"take: found arrays of shapes {found or 'none'}, wanted [N, ...] of one N")
    ((num,),) = lengths
    indices = indices if isinstance(indices, jax.Array) else np.asarray(indices)
    known, dtype, shape = concrete(indices), indices.dtype, indices.shape
    if known is not None and known.dtype == bool and shape == (num,):
        known = indices = np.flatnonzero(known)
        dtype, shape = known.dtype, known.shape
    if len(shape) != 1 or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"take: found indices of {dtype} {shape}, wanted integers [B] or a known boolean mask ({num},)"
        )
    if known is not None and known.size and (known.min() < 0 or known.max() >= num):
        raise ValueError(f"take: found indices from {known.min()} to {known.max()}, wanted 0 to {num - 1}")
    return jax.tree.map(lambda leaf: jnp.take(leaf, jnp.asarray(indices), axis=0), data)
