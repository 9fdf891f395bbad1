"""Gradients that are not to be too long, as PyTorch shortens them."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def clipped(grads: Any, max_norm: Any) -> tuple[Any, Any]:
    """Gradients scaled to a global norm of at most `max_norm` as PyTorch does it, and the norm before.

        g min(1, max_norm / (|g| + 1e-6))

    of a tree of arrays, with the norm over all entries; optax.clip_by_global_norm has no 1e-6. Where the norm is no
    number, no entry is one.
    """
    norm = optax.tree.norm(grads)
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), grads), norm
