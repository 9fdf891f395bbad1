"""Z-scores whose statistics may come from other samples."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import shape_of
from identax.inputs import centred, numbers
from identax.metrics._samples import Samples


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


def z_score(x: Samples, *, reference: Samples | None = None) -> Float[Array, "N m"]:
    """Columns of x less the mean, over the population standard deviation, of those of `reference` (default: x).

        (x - mean(reference)) / sd(reference)

    A column that is constant in the reference, up to rounding, becomes 0. Args: `x` [N, m], `reference` [M, m].
    Raises `ValueError` for other shapes or an empty reference.
    """
    x = numbers("z_score", "x", x)
    others = x if reference is None else numbers("z_score", "reference", reference)
    shapes = shape_of(x), shape_of(others)
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1] or 0 in shapes[1]:
        raise ValueError(f"z_score: found shapes {shapes[0]} and {shapes[1]}, wanted [N, m] and [M, m]")
    others, x = centred("z_score", scaled=True, reference=others, x=x)
    return standardised(x, others)


@functools.partial(jax.jit, inline=True)
def standardised(x: Float[Array, "N m"], reference: Float[Array, "M m"]) -> Float[Array, "N m"]:
    """`z_score` of floats, inside compiled programs."""
    mean, scale = column_statistics(reference)
    return (x - mean) / scale
