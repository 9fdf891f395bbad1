"""Gaussian blur."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.augment.base import (
    AnyImage,
    Augmentation,
    Image,
    Number,
    check_image,
    check_range,
    parameter_dtype,
    uniform,
)
from identax.checks import check_between, check_count
from identax.rng import stream

_HIGHEST = jax.lax.Precision.HIGHEST


def blur_matrix(sigma: ArrayLike, *, size: int, radius: int, dtype: Any = jnp.float32) -> Float[Array, "size size"]:
    """Convolution along one axis with a normal density of `sigma` pixels, cut at `radius`, as a matrix.

    Borders are mirrored without repeating the edge pixel. Rows sum to 1; sigma = 0 gives the identity.
    """
    radius = min(radius, size - 1)
    sigma = jnp.asarray(sigma, dtype)
    offsets = jnp.arange(-radius, radius + 1, dtype=dtype)
    kernel = jnp.exp(-0.5 * (offsets / jnp.where(sigma > 0, sigma, 1)) ** 2)
    kernel = jnp.where(sigma > 0, kernel / kernel.sum(), (offsets == 0).astype(dtype))
    i, k = jnp.arange(size)[:, None], jnp.arange(size)[None, :]

    def weight(distance):
        inside = jnp.abs(distance) <= radius
        return jnp.where(inside, kernel[jnp.where(inside, distance + radius, 0)], 0)

    # Pixel k is also seen in the mirrors at 0 (as -k) and at size - 1, except where it is the mirror itself.
    left = jnp.where(k > 0, weight(i + k), 0)
    right = jnp.where(k < size - 1, weight(2 * (size - 1) - i - k), 0)
    return weight(i - k) + left + right


def gaussian_blur(image: AnyImage, sigma: ArrayLike, *, radius: int) -> Image:
    """Blurs along rows and columns by `blur_matrix`; `sigma` >= 0 in pixels may be traced.

    Raises `ValueError` for other than float images [H, W, 1 or 3] and for a radius < 1.
    """
    check_image("gaussian_blur", image)
    check_count("gaussian_blur", "radius", radius)
    image = jnp.asarray(image)
    dtype = parameter_dtype(image)
    height, width, channels = image.shape
    rows = blur_matrix(sigma, size=height, radius=radius, dtype=dtype)
    columns = blur_matrix(sigma, size=width, radius=radius, dtype=dtype)
    half = jnp.matmul(rows, image.astype(dtype).reshape(height, -1), precision=_HIGHEST)
    half = half.reshape(height, width, channels)
    return jnp.einsum("jl,ilc->ijc", columns, half, precision=_HIGHEST).astype(image.dtype)


def random_blur(
    sigma: Sequence[Number] = (0.1, 2.0), *, probability: Number = 0.5, radius: int | None = None
) -> Augmentation:
    """With `probability` blurs by a normal density of sigma ~ U(sigma) pixels, cut at `radius` (default 3 sigma[1]).

    Parameters: `blur` (bool), absent for probability 1, and `blur_sigma` (0 if nothing was done).
    Raises `ValueError` unless 0 <= sigma[0] <= sigma[1], for a probability outside [0, 1], and for a radius < 1.
    """
    check_range("random_blur", "sigma", sigma, 0)
    check_between("random_blur", "probability", probability, 0, 1, ())
    reach = max(1, math.ceil(3 * sigma[1])) if radius is None else radius
    check_count("random_blur", "radius", reach)

    def draw(key, image):
        check_image("random_blur", image)
        value = uniform(stream(key, "sigma"), image, sigma)
        if probability == 1:
            return {"blur_sigma": value}
        blur = jax.random.bernoulli(stream(key, "blur"), probability)
        return {"blur": blur, "blur_sigma": jnp.where(blur, value, 0)}

    def apply(image, parameters):
        return gaussian_blur(image, parameters["blur_sigma"], radius=reach)

    return Augmentation("blur", draw, apply)
