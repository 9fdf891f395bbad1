"""What the mixings and worlds of `dgp` ask of points."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from identax.inputs import kept


def points(where: str, name: str, value: Any, n: int | None = None) -> Array:
    """`value` as floats [N, n]: integers, booleans, lists and NumPy arrays are points like any other.

    Raises `ValueError` for another shape, for what is no real number, and for an offset that costs the digits.
    """
    value = jnp.asarray(kept(where, name, value))
    if value.ndim != 2 or (n is not None and value.shape[1] != n):
        wanted = "[N, n]" if n is None else f"[N, {n}]"
        raise ValueError(f"{where}: found {name} of shape {value.shape}, wanted {wanted}")
    return value
