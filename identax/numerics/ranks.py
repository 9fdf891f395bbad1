"""The place of every entry in the order of all."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def ranks(values: Array) -> Int[Array, "*shape"]:
    """0 for the smallest of all entries, 1 for the next; equal ones in the order of the flat array."""
    order = jnp.argsort(values.reshape(-1))
    places = jnp.zeros(values.size, jnp.int32).at[order].set(jnp.arange(values.size, dtype=jnp.int32))
    return places.reshape(values.shape)
