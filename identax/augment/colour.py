"""What colours a view has: jitter and grayscale."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.augment.base import (
    AnyImage,
    Augmentation,
    Image,
    Number,
    check_image,
    check_range,
    uniform,
)
from identax.checks import check_between
from identax.rng import stream

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def grayscale(image: AnyImage) -> Image:
    """Luma 0.299 R + 0.587 G + 0.114 B in all three channels; an image of one channel is returned as it is."""
    check_image("grayscale", image)
    image = jnp.asarray(image)
    return image if image.shape[2] == 1 else jnp.broadcast_to(_luma(image), image.shape)


def _luma(image):
    """Luma [H, W, 1]."""
    if image.shape[2] == 1:
        return image
    red, green, blue = (weight * image[..., i] for i, weight in enumerate(_LUMA))
    return (red + green + blue)[..., None]


def _blend(image, other, factor):
    factor = jnp.asarray(factor).astype(image.dtype)
    return jnp.clip(factor * image + (1 - factor) * other, 0, 1)


def adjust_brightness(image: AnyImage, factor: ArrayLike) -> Image:
    """clip(factor * image, 0, 1)."""
    check_image("adjust_brightness", image)
    return _blend(jnp.asarray(image), 0.0, factor)


def adjust_contrast(image: AnyImage, factor: ArrayLike) -> Image:
    """clip(factor * image + (1 - factor) * mean luma, 0, 1)."""
    check_image("adjust_contrast", image)
    image = jnp.asarray(image)
    # Means of the channels first: four times as fast as the mean of the luma.
    return _blend(image, _luma(image.mean(axis=(0, 1), keepdims=True)), factor)


def adjust_saturation(image: AnyImage, factor: ArrayLike) -> Image:
    """clip(factor * image + (1 - factor) * luma, 0, 1); nothing to do for one channel."""
    check_image("adjust_saturation", image)
    image = jnp.asarray(image)
    return image if image.shape[2] == 1 else _blend(image, _luma(image), factor)


def adjust_hue(image: AnyImage, shift: ArrayLike) -> Image:
    """Turns the hue of the HSV hexcone by `shift` full turns; nothing to do for one channel.

    With V = max, S V = max - min and hue h, the colours come back as
    V - S V max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6, n = 5, 3, 1 for red, green, blue.
    """
    check_image("adjust_hue", image)
    image = jnp.asarray(image)
    if image.shape[2] == 1:
        return image
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    is_red, is_green = value == red, value == green
    difference = jnp.where(is_red, green - blue, jnp.where(is_green, blue - red, red - green))
    sextant = jnp.where(is_red, 0, jnp.where(is_green, 2, 4)) + difference / jnp.where(chroma > 0, chroma, 1)
    turned = sextant + 6 * jnp.asarray(shift).astype(image.dtype)
    # All channels in one expression and floor instead of mod: three times as fast as the three stacked.
    k = turned[..., None] + jnp.array([5, 3, 1], image.dtype)[None, None, :]
    k = k - 6 * jnp.floor(k / 6)
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def colour_jitter(
    brightness: Number = 0.4,
    contrast: Number = 0.4,
    saturation: Number = 0.4,
    hue: Number = 0.1,
    *,
    probability: Number = 0.8,
) -> Augmentation:
    """With `probability`, brightness, contrast, saturation and hue are changed in this order (formulas of torchvision).

    Factors ~ U(max(0, 1 - a), 1 + a) for a = `brightness`, `contrast`, `saturation`; the hue shift ~ U(-hue, hue) in
    full turns. The order is fixed, where torchvision shuffles it: a drawn order would compute all at every place.
    Parameters: `jitter` (bool; absent for probability 1), and for strengths > 0 the factors in effect (`brightness`,
    ...; 1, and hue 0, if nothing was done). On images of one channel only brightness and contrast are drawn and act.
    Raises `ValueError` for negative strengths, hue > 1/2, or a probability outside [0, 1].
    """
    check_between("colour_jitter", "probability", probability, 0, 1, ())
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    for name, value in strengths.items():
        check_range("colour_jitter", name, (value, value), 0, 0.5 if name == "hue" else float("inf"))

    def bounds(name):
        strength = strengths[name]
        return (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)

    def used(image):
        names = ("brightness", "contrast") if image.shape[2] == 1 else tuple(strengths)
        return [name for name in names if strengths[name] > 0]

    def draw(key, image):
        check_image("colour_jitter", image)
        drawn = {name: uniform(stream(key, name), image, bounds(name)) for name in used(image)}
        if probability == 1:
            return drawn
        jitter = jax.random.bernoulli(stream(key, "jitter"), probability)
        return {"jitter": jitter} | {name: jnp.where(jitter, value, NEUTRAL[name]) for name, value in drawn.items()}

    def apply(image, parameters):
        check_image("colour_jitter", image)
        changed = image
        for name in used(image):
            changed = _ADJUST[name](changed, parameters[name])
        # Neutral factors leave an image in [0, 1] as it is, but the hue only up to rounding.
        return jnp.where(parameters["jitter"], changed, image) if "jitter" in parameters else changed

    return Augmentation("jitter", draw, apply)


_ADJUST = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


def random_grayscale(probability: Number = 0.2) -> Augmentation:
    """With `probability` the image loses its colours. Parameter: `grayscale` (bool).

    Raises `ValueError` for a probability outside [0, 1] and, when used, for images of other than 3 channels.
    """
    check_between("random_grayscale", "probability", probability, 0, 1, ())

    def draw(key, image):
        check_image("random_grayscale", image, (3,))
        return {"grayscale": jax.random.bernoulli(key, probability)}

    def apply(image, parameters):
        check_image("random_grayscale", image, (3,))
        return jnp.where(parameters["grayscale"], grayscale(image), image)

    return Augmentation("grayscale", draw, apply)
