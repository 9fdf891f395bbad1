"""Z-scores whose statistics may come from other samples."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def column_statistics(x: Float[Array, "N m"]) -> tuple[Float[Array, "1 m"], Float[Array, "1 m"]]:
    """Means and population standard deviations of the columns; infinite ones for constant columns."""
    mean = jnp.mean(x, axis=0, keepdims=True)
    # Scaled first: squares of very small or large ones would leave the range of float32. The size cancels.
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(x - mean), axis=0, keepdims=True))
    varies = size > 4 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), axis=0, keepdims=True)
    scaled = (x - mean) / jnp.where(varies, size, 1.0)
    # The gradient of a root at 0 is not finite, even where it is not used.
    deviation = size * jnp.sqrt(jnp.where(varies, jnp.mean(scaled**2, axis=0, keepdims=True), 1.0))
    return mean, jnp.where(varies, deviation, jnp.inf)


def z_score(x: Float[Array, "N m"], *, reference: Float[Array, "M m"] | None = None) -> Float[Array, "N m"]:
    """Columns of x less the mean, over the population standard deviation, of those of `reference` (default: x).

        (x - mean(reference)) / sd(reference)

    A column that is constant in the reference, up to rounding, becomes 0. Raises `ValueError` for unequal columns.
    """
    reference = x if reference is None else reference
    if x.ndim != 2 or reference.ndim != 2 or x.shape[1] != reference.shape[1] or 0 in reference.shape:
        raise ValueError(f"z_score: found shapes {x.shape} and {reference.shape}, wanted [N, m] and [M, m]")
    mean, scale = column_statistics(reference)
    return (x - mean) / scale
