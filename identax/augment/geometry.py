"""Where a view looks: crops and flips."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.augment.base import (
    AnyImage,
    Augmentation,
    Image,
    Number,
    check_image,
    check_range,
)
from identax.augment.base import parameter_dtype as _dtype
from identax.checks import check_between, is_integer
from identax.rng import stream

_HIGHEST = jax.lax.Precision.HIGHEST
_ATTEMPTS = 10


def interpolation_matrix(
    start: ArrayLike, length: ArrayLike, *, size_in: int, size_out: int, dtype: Any = jnp.float32
) -> Float[Array, "out in"]:
    """Weights [size_out, size_in] of linear interpolation from [start, start + length) to `size_out` pixels.

        c_i = start + (i + 1/2) length / size_out - 1/2,    s = max(1, length / size_out)
        W_ik = max(0, 1 - |k - c_i| / s) / sum_k

    Coordinates are in pixels, pixel k covering [k, k + 1). For s > 1 the triangle is widened, so that shrinking
    averages instead of skipping pixels. Outside the image the edge pixel goes on.
    """
    step = jnp.asarray(length, dtype) / size_out
    centres = jnp.asarray(start, dtype) + (jnp.arange(size_out, dtype=dtype) + 0.5) * step - 0.5
    centres = jnp.clip(centres, 0, size_in - 1)
    distance = jnp.abs(jnp.arange(size_in, dtype=dtype)[None, :] - centres[:, None])
    weights = jnp.maximum(0, 1 - distance / jnp.maximum(step, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def resized_crop(
    image: AnyImage, y: ArrayLike, x: ArrayLike, height: ArrayLike, width: ArrayLike, *, size: tuple[int, int]
) -> Image:
    """Resamples the box with upper left corner (y, x) and extent (height, width) to `size`, bilinearly.

    Box coordinates are in pixels, may be fractions and may be traced; out[i, j] = sum_kl V_ik W_jl image[k, l] with
    two `interpolation_matrix`. Two small matrix products per image cost less than gathers on every kind of device.
    The box (0, 0, H, W) at size (H, W) returns the image. Near the box's edge pixels outside it contribute, unlike in
    implementations that cut first. Raises `ValueError` for other than float images [H, W, 1 or 3] and sizes < 1.
    """
    check_image("resized_crop", image)
    if min(size) < 1:
        raise ValueError(f"resized_crop: found size={size}, wanted two positive integers")
    image = jnp.asarray(image)
    dtype = _dtype(image)
    rows = interpolation_matrix(y, height, size_in=image.shape[0], size_out=size[0], dtype=dtype)
    columns = interpolation_matrix(x, width, size_in=image.shape[1], size_out=size[1], dtype=dtype)
    tall, wide, channels = image.shape
    half = jnp.matmul(rows, image.astype(dtype).reshape(tall, -1), precision=_HIGHEST)
    half = half.reshape(size[0], wide, channels)
    return jnp.einsum("jl,ilc->ijc", columns, half, precision=_HIGHEST).astype(image.dtype)


def random_resized_crop(
    size: Any,
    *,
    scale: Sequence[Number] = (0.2, 1.0),
    ratio: Sequence[Number] = (3 / 4, 4 / 3),
) -> Augmentation:
    """Cuts a random box and resizes it to `size` pixels (side, or height and width).

    Area share ~ U(scale), log aspect (width / height in pixels) ~ U(log ratio), position uniform among those inside the
    image. Boxes that do not fit are drawn again, at most 10 draws; then the largest central box with the nearest
    allowed aspect, as torchvision does, whose boxes have whole pixels where these may have fractions.
    Parameters: `crop_y`, `crop_x` centre in shares of height and width, `crop_scale` share of the area, `crop_aspect`.
    Raises `ValueError` unless 0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1].
    """
    tiny = float(np.finfo(np.float32).tiny)
    check_range("random_resized_crop", "scale", scale, tiny, 1)
    check_range("random_resized_crop", "ratio", ratio, tiny)
    out: Any = (size, size) if is_integer(size) else size
    if not isinstance(out, tuple | list) or len(out) != 2 or not all(is_integer(side) and side >= 1 for side in out):
        raise ValueError(f"random_resized_crop: found size={size}, wanted one or two positive integers")

    def draw(key, image):
        check_image("random_resized_crop", image)
        height, width, dtype = image.shape[0], image.shape[1], _dtype(image)
        low, high = float(np.log(ratio[0])), float(np.log(ratio[1]))
        area = jax.random.uniform(stream(key, "scale"), (_ATTEMPTS,), dtype, scale[0], scale[1])
        aspect = jnp.exp(jax.random.uniform(stream(key, "aspect"), (_ATTEMPTS,), dtype, low, high))
        tall, wide = _extent(area, aspect, height, width)
        fits = (tall <= height) & (wide <= width)
        first = jnp.argmax(fits)
        fallback = min(max(width / height, ratio[0]), ratio[1])
        largest = min(fallback * height / width, width / (fallback * height))
        area = jnp.where(fits[first], area[first], largest)
        aspect = jnp.where(fits[first], aspect[first], fallback)
        tall, wide = _extent(area, aspect, height, width)
        corner = jnp.where(fits[first], jax.random.uniform(stream(key, "position"), (2,), dtype), 0.5)
        half_tall, half_wide = 0.5 * tall / height, 0.5 * wide / width
        return {
            "crop_y": half_tall + corner[0] * (1 - 2 * half_tall),
            "crop_x": half_wide + corner[1] * (1 - 2 * half_wide),
            "crop_scale": area,
            "crop_aspect": aspect,
        }

    def apply(image, parameters):
        check_image("random_resized_crop", image)
        height, width = image.shape[:2]
        tall, wide = _extent(parameters["crop_scale"], parameters["crop_aspect"], height, width)
        y = parameters["crop_y"] * height - tall / 2
        x = parameters["crop_x"] * width - wide / 2
        return resized_crop(image, y, x, tall, wide, size=tuple(out))

    return Augmentation("crop", draw, apply)


def _extent(area, aspect, height, width):
    """Height and width in pixels of a box with this share of the area and aspect."""
    pixels = area * (height * width)
    return jnp.sqrt(pixels / aspect), jnp.sqrt(pixels * aspect)


def horizontal_flip(probability: Number = 0.5) -> Augmentation:
    """Mirrors left and right. Parameter: `flip` (bool). Raises `ValueError` for a probability outside [0, 1]."""
    check_between("horizontal_flip", "probability", probability, 0, 1, ())

    def draw(key, image):
        check_image("horizontal_flip", image)
        return {"flip": jax.random.bernoulli(key, probability)}

    def apply(image, parameters):
        check_image("horizontal_flip", image)
        return jnp.where(parameters["flip"], image[:, ::-1], image)

    return Augmentation("flip", draw, apply)
