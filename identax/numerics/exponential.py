"""exp of numbers that are not positive, as one piece of arithmetic."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LEAST = -88.0
_LOG2_E = 1.4426950408889634
_LOG_2 = (0.693359375, -2.1219444400546906e-4)
"""log 2 as a number of ten bits, whose products with whole numbers are exact, and the rest"""
_TERMS = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)


def exponential(x: Any) -> Float[Array, "..."]:
    """e^x for x <= 0, to 2e-7 of it in float32; 0 where it is below 2^-126. NaN stays NaN.

    x = n log 2 + r with |r| <= log(2) / 2; e^r by its series up to r^7, 2^n as the bits of a float32. XLA's own is a
    call that keeps a CPU from working on vectors wherever it is merged with other arithmetic: three times the time. In
    float64 it is XLA's.
    """
    if x.dtype != jnp.float32:
        return jnp.exp(x)
    x = jnp.maximum(x, _LEAST)
    n = jnp.round(x * _LOG2_E)
    r = x - n * _LOG_2[0] - n * _LOG_2[1]
    found = _TERMS[0]
    for term in _TERMS[1:]:
        found = found * r + term
    # n is -127 at least, which gives the bits of 0.
    return found * jax.lax.bitcast_convert_type((n.astype(jnp.int32) + 127) << 23, jnp.float32)
