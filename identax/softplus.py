"""Softplus is how a learned precision stays positive; its inverse is how one is started."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def inverse_softplus(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The x with log(1 + exp(x)) = y: y + log(1 - exp(-y)), for y > 0 (NaN below, -inf at 0)."""
    return y + jnp.log(-jnp.expm1(-y))
