"""Augmentations on the device: pure functions per image that return what they drew."""

from identax.augment.base import Augmentation
from identax.augment.blur import blur_matrix, gaussian_blur, random_blur
from identax.augment.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
    grayscale,
    random_grayscale,
)
from identax.augment.geometry import horizontal_flip, interpolation_matrix, random_resized_crop, resized_crop
from identax.augment.pipeline import Pipeline, digit_views, pipeline, simclr_cifar, simclr_imagenet

__all__ = [
    "Augmentation",
    "Pipeline",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "blur_matrix",
    "colour_jitter",
    "digit_views",
    "gaussian_blur",
    "grayscale",
    "horizontal_flip",
    "interpolation_matrix",
    "pipeline",
    "random_blur",
    "random_grayscale",
    "random_resized_crop",
    "resized_crop",
    "simclr_cifar",
    "simclr_imagenet",
]
