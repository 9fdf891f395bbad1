"""Pipelines: streams, composition, transformations, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.augment import (
    colour_jitter,
    digit_views,
    horizontal_flip,
    pipeline,
    random_grayscale,
    random_resized_crop,
    simclr_cifar,
    simclr_imagenet,
)
from identax.rng import stream

CROP = {"crop_y", "crop_x", "crop_scale", "crop_aspect"}
CIFAR = CROP | {"flip", "jitter", "brightness", "contrast", "saturation", "hue", "grayscale"}


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(0), (6, 8, 8, 3))


@pytest.fixture(scope="module")
def augment():
    return jax.jit(simclr_cifar(8))


def test_views_and_parameters_have_one_row_per_image(images, augment):
    views, parameters = augment(jax.random.key(1), images)
    assert views.shape == images.shape and views.dtype == images.dtype
    assert float(views.min()) >= 0 and float(views.max()) <= 1
    assert set(parameters) == CIFAR
    assert {name for name, value in parameters.items() if value.dtype == bool} == {"flip", "jitter", "grayscale"}
    assert all(value.shape == (6,) for value in parameters.values())
    assert len(np.unique(parameters["crop_y"])) == 6


def test_parameters_alone_determine_the_view(images, augment):
    steps = [random_resized_crop(8), horizontal_flip(), colour_jitter(), random_grayscale()]
    key = jax.random.key(7)
    views, parameters = augment(key, images)
    view = images[2]
    for step in steps:
        drawn = jax.jit(step.draw)(stream(jax.random.split(key, 6)[2], step.name), view)
        for name, value in drawn.items():
            np.testing.assert_allclose(parameters[name][2], value, rtol=1e-5)
        view = jax.jit(step.apply)(view, {name: parameters[name][2] for name in drawn})
    np.testing.assert_allclose(views[2], view, atol=1e-5)


def test_leaving_one_augmentation_out_does_not_move_the_others(images, augment):
    key = jax.random.key(2)
    fewer = jax.jit(pipeline([random_resized_crop(8), random_grayscale()]))(key, images)[1]
    for name, values in fewer.items():
        np.testing.assert_allclose(values, augment(key, images)[1][name], rtol=1e-5)


def test_is_the_same_under_vmap_and_sharded(images, augment):
    keys = jax.random.split(jax.random.key(3), 2)
    views, _ = jax.jit(jax.vmap(simclr_cifar(8), in_axes=(0, None)))(keys, images)
    np.testing.assert_allclose(views[1], augment(keys[1], images)[0], atol=1e-5)
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.device_put(images, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    views, _ = augment(keys[0], placed)
    np.testing.assert_allclose(views, augment(keys[0], images)[0], atol=1e-5)


@pytest.mark.slow
def test_double_precision_and_gradients(x64, images):
    images = images.astype(jnp.float64)[:2]
    augment = simclr_cifar(8)
    views, parameters = jax.eval_shape(augment, jax.random.key(0), images)
    assert views.dtype == jnp.float64 and parameters["crop_scale"].dtype == jnp.float64
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(augment(jax.random.key(0), x)[0] ** 2)))(images)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_half_precision_pixels_keep_exact_parameters(images):
    augment = pipeline([random_resized_crop(8)])
    views, parameters = jax.eval_shape(augment, jax.random.key(0), images.astype(jnp.bfloat16))
    assert views.dtype == jnp.bfloat16 and parameters["crop_y"].dtype == jnp.float32


def test_other_pipelines():
    shapes = jax.eval_shape(simclr_imagenet(), jax.random.key(0), jnp.zeros((2, 256, 300, 3)))
    assert shapes[0].shape == (2, 224, 224, 3) and {"blur", "blur_sigma"} <= set(shapes[1])
    shapes = jax.eval_shape(digit_views(), jax.random.key(0), jnp.zeros((2, 28, 28, 1)))
    assert set(shapes[1]) == CROP | {"brightness", "contrast", "blur_sigma"}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: pipeline([]), "one or more"),
        (lambda: pipeline([horizontal_flip(), horizontal_flip(0.1)]), "different names"),
        (
            lambda: pipeline([horizontal_flip(), horizontal_flip()._replace(name="again")])(
                jax.random.key(0), jnp.zeros((2, 4, 4, 3))
            ),
            r"\['flip'\] twice",
        ),
        (lambda: simclr_cifar()(jax.random.key(0), jnp.zeros((8, 8, 3))), r"wanted \[N, H, W, C\]"),
        (lambda: simclr_cifar()(jax.random.key(0), jnp.zeros((0, 8, 8, 3))), r"wanted \[N, H, W, C\]"),
        (lambda: simclr_cifar()(jax.random.key(0), np.zeros((2, 8, 8, 3), np.uint8)), "uint8 pixels"),
        (lambda: jax.eval_shape(simclr_cifar(), jax.random.key(0), jnp.zeros((2, 8, 8, 1))), "found 1 channels"),
        (lambda: digit_views()(jax.random.key(0), jnp.zeros((2, 1, 28, 28))), "channels last"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
