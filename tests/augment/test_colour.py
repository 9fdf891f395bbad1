"""Colour operations against `colorsys` and their formulas; laws of the drawn factors."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.augment import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
    grayscale,
    random_grayscale,
)

NUM = 4000
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def image(x64, getkey):
    """A random colour image with black, white, grey and saturated pixels in its first row."""
    pixels = np.array(jax.random.uniform(getkey(), (6, 5, 3)))
    pixels[0] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 1]]
    return jnp.asarray(pixels)


@pytest.mark.parametrize("shift", [0.1, -0.25, 1 / 3, 0.5])
def test_hue_turns_as_in_colorsys(image, shift):
    def turned(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)

    wanted = np.array([[turned(pixel) for pixel in row] for row in np.asarray(image)])
    np.testing.assert_allclose(adjust_hue(image, shift), wanted, atol=1e-12)


def test_neutral_factors_change_nothing(image):
    for adjust, neutral in ((adjust_brightness, 1), (adjust_contrast, 1), (adjust_saturation, 1), (adjust_hue, 0)):
        np.testing.assert_allclose(adjust(image, neutral), image, atol=1e-12)
    drawn = {"jitter": jnp.array(False), "brightness": 9.0, "contrast": 9.0, "saturation": 9.0, "hue": 0.3}
    np.testing.assert_array_equal(colour_jitter().apply(image, drawn), image)


def test_formulas(image):
    pixels = np.asarray(image)
    luma = pixels @ LUMA
    np.testing.assert_allclose(adjust_brightness(image, 1.7), np.clip(1.7 * pixels, 0, 1), atol=1e-12)
    np.testing.assert_allclose(adjust_contrast(image, 0.4), np.clip(0.4 * pixels + 0.6 * luma.mean(), 0, 1), atol=1e-12)
    wanted = np.clip(1.5 * pixels - 0.5 * luma[..., None], 0, 1)
    np.testing.assert_allclose(adjust_saturation(image, 1.5), wanted, atol=1e-12)
    np.testing.assert_allclose(grayscale(image), np.repeat(luma[..., None], 3, axis=-1), atol=1e-12)
    np.testing.assert_allclose(adjust_saturation(image, 0.0), grayscale(image), atol=1e-12)


def test_the_operations_are_done_in_the_stated_order(image):
    drawn = {"jitter": jnp.array(True), "brightness": 1.4, "contrast": 0.7, "saturation": 1.3, "hue": 0.07}
    wanted = adjust_hue(adjust_saturation(adjust_contrast(adjust_brightness(image, 1.4), 0.7), 1.3), 0.07)
    np.testing.assert_allclose(colour_jitter().apply(image, drawn), wanted, atol=1e-12)
    other = adjust_contrast(adjust_brightness(image, 1.4), 0.7)
    assert np.abs(adjust_brightness(adjust_contrast(image, 0.7), 1.4) - other).max() > 0.05  # order does matter


def test_images_of_one_channel_have_no_hue_and_no_saturation(getkey):
    image = jax.random.uniform(getkey(), (4, 4, 1))
    for change in (lambda x: adjust_hue(x, 0.3), lambda x: adjust_saturation(x, 0.1), grayscale):
        np.testing.assert_array_equal(change(image), image)
    assert set(colour_jitter().draw(getkey(), image)) == {"jitter", "brightness", "contrast"}
    np.testing.assert_allclose(adjust_contrast(image, 0.0), np.full(image.shape, image.mean()), rtol=1e-5)


def test_laws_of_the_factors():
    image = jnp.zeros((2, 2, 3))
    draw = jax.jit(jax.vmap(lambda key: colour_jitter(0.4, 0.3, 0.2, 0.1, probability=0.8).draw(key, image)))
    drawn = {name: np.asarray(value, float) for name, value in draw(jax.random.split(jax.random.key(3), NUM)).items()}
    on = drawn["jitter"].astype(bool)
    assert abs(on.mean() - 0.8) < 6 * np.sqrt(0.16 / NUM)
    strengths = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}
    for name, strength in strengths.items():
        neutral = 0 if name == "hue" else 1
        values = drawn[name]
        assert (values[~on] == neutral).all()
        assert abs(values[on].mean() - neutral) < 6 * strength / np.sqrt(3 * on.sum())
        assert abs(values[on].std() - strength / np.sqrt(3)) < 0.06 * strength
        assert np.abs(values[on] - neutral).max() <= strength + 1e-6
    assert abs(np.corrcoef(drawn["brightness"][on], drawn["contrast"][on])[0, 1]) < 6 / np.sqrt(on.sum())


def test_grayscale_is_drawn_with_its_probability(image):
    augmentation = random_grayscale(0.2)
    draws = jax.vmap(lambda key: augmentation.draw(key, image)["grayscale"])(jax.random.split(jax.random.key(1), NUM))
    assert abs(draws.mean() - 0.2) < 6 * np.sqrt(0.16 / NUM)
    np.testing.assert_array_equal(augmentation.apply(image, {"grayscale": jnp.array(False)}), image)
    np.testing.assert_array_equal(augmentation.apply(image, {"grayscale": jnp.array(True)}), grayscale(image))


def test_gradients_are_finite_at_grey_pixels(image):
    gradient = jax.grad(lambda x: jnp.sum(adjust_hue(x, 0.2) ** 2))(image)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: colour_jitter(-0.1), "brightness"),
        (lambda: colour_jitter(hue=0.6), "hue"),
        (lambda: colour_jitter(probability=-1), "probability=-1"),
        (lambda: random_grayscale(2), "probability=2"),
        (lambda: random_grayscale().apply(jnp.zeros((4, 4, 1)), {}), "found 1 channels"),
        (lambda: adjust_hue(jnp.zeros((4, 4, 2)), 0.1), "found 2 channels"),
        (lambda: adjust_contrast(np.zeros((4, 4, 3), int), 0.1), "divide by 255"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
