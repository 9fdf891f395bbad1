"""Several augmentations in a row over a batch, and the usual pipelines."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from identax.augment.base import AnyImage, Augmentation
from identax.augment.blur import random_blur
from identax.augment.colour import colour_jitter, random_grayscale
from identax.augment.geometry import horizontal_flip, random_resized_crop
from identax.rng import stream

Batch = Float[Array, "N H W C"]
BatchParameters = dict[str, Float[Array, " N"] | Bool[Array, " N"]]
Pipeline = Callable[[Key[Array, ""], AnyImage], tuple[Batch, BatchParameters]]


def pipeline(augmentations: Sequence[Augmentation]) -> Pipeline:
    """Composes augmentations: `augment(key, images [N, H, W, C]) -> (views, parameters {name: [N]})`.

    Image i draws from `split(key, N)[i]`, each augmentation from the stream of its name: taking one out, or adding one,
    leaves the others' parameters as they were. Runs under jit and vmap; a batch sharded over devices stays so.
    Raises `ValueError` for no augmentations or two of one name, and, when used, for integer images, a wrong rank or
    number of channels, or two augmentations with a parameter of the same name.
    """
    augmentations = tuple(augmentations)
    names = [augmentation.name for augmentation in augmentations]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"pipeline: found augmentations {names}, wanted one or more with different names")

    def view(key, image):
        parameters: dict[str, Any] = {}
        for augmentation in augmentations:
            drawn = augmentation.draw(stream(key, augmentation.name), image)
            if twice := drawn.keys() & parameters.keys():
                raise ValueError(f"pipeline: found the parameters {sorted(twice)} twice, wanted different names")
            image = augmentation.apply(image, drawn)
            parameters |= drawn
        return image, parameters

    def augment(key, images):
        if np.ndim(images) != 4 or 0 in np.shape(images):
            raise ValueError(f"pipeline: found images of shape {np.shape(images)}, wanted [N, H, W, C]")
        return jax.vmap(view)(jax.random.split(key, images.shape[0]), jnp.asarray(images))

    return augment


def simclr_cifar(size: int = 32) -> Pipeline:
    """SimCLR's views of small natural images: crop, flip 0.5, jitter (.4, .4, .4, .1) 0.8, grayscale 0.2, no blur.

    Crops take 20 % to 100 % of the area, as in SimSiam's setting for CIFAR10 (SimCLR's own start at 8 %).
    """
    return pipeline([random_resized_crop(size), horizontal_flip(), colour_jitter(), random_grayscale()])


def simclr_imagenet(size: int = 224) -> Pipeline:
    """SimCLR's views for ImageNet in the variant of MoCo v2 and SimSiam: as for CIFAR10, and blur with 0.5."""
    return pipeline([random_resized_crop(size), horizontal_flip(), colour_jitter(), random_grayscale(), random_blur()])


def digit_views(size: int = 28) -> Pipeline:
    """Views of handwritten digits (one channel): crop of 40 % to 100 % of the area, brightness and contrast, blur.

    Brightness ~ U(0.4, 1.6) and contrast ~ U(0.4, 1.6) always, sigma of the blur ~ U(0, 1.5) pixels always. No flip: a
    mirrored digit is another sign. Ours; no paper's.
    """
    return pipeline(
        [
            random_resized_crop(size, scale=(0.4, 1.0)),
            colour_jitter(0.6, 0.6, 0, 0, probability=1.0),
            random_blur((0.0, 1.5), probability=1.0),
        ]
    )
