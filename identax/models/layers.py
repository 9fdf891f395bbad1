"""What the image models share: the start of their weights, and the type they compute in."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_choice, check_real

DTYPES = ("float32", "bfloat16")
HE_FAN_IN = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def compute_dtype(where: str, compute: str | None) -> Any:
    """The type named by `compute`, None for that of the parameters; raises `ValueError` for an unknown name."""
    if compute is None:
        return None
    check_choice(where, "compute", compute, DTYPES)
    return jnp.dtype(compute)


def real_input(where: str, x: Any) -> Any:
    """The input as floats: integers and booleans as JAX's default float. Raises `ValueError` for complex numbers."""
    check_real(where, "input", x)
    return jnp.asarray(x, None if jnp.issubdtype(x.dtype, jnp.floating) else float)


def types_of(x: Any, dtype: Any) -> tuple[Any, Any]:
    """Types of the parameters (the input's, at least float32) and of the computation (`dtype`, or the same)."""
    param_dtype = jnp.promote_types(x.dtype, jnp.float32)
    return param_dtype, param_dtype if dtype is None else dtype
