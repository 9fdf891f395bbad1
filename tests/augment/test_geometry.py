"""Crops and flips against what they do to simple images, and the laws of what they draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.augment import horizontal_flip, interpolation_matrix, random_resized_crop, resized_crop

NUM = 4000


def _draw(augmentation, shape, num=NUM):
    image = jnp.zeros(shape)
    keys = jax.random.split(jax.random.key(5), num)
    drawn = jax.jit(jax.vmap(lambda key: augmentation.draw(key, image)))(keys)
    return {name: np.asarray(values, float) for name, values in drawn.items()}


def test_the_whole_image_at_its_own_size_is_itself(x64, getkey):
    image = jax.random.uniform(getkey(), (7, 9, 3))
    np.testing.assert_allclose(resized_crop(image, 0, 0, 7, 9, size=(7, 9)), image, atol=1e-15)
    augmentation = random_resized_crop((7, 9))
    neutral = {"crop_y": 0.5, "crop_x": 0.5, "crop_scale": 1.0, "crop_aspect": 9 / 7}
    np.testing.assert_allclose(augmentation.apply(image, neutral), image, atol=1e-13)


def test_a_crop_of_a_ramp_is_a_ramp_of_known_slope_and_offset(x64):
    rows, columns = np.arange(20.0), np.arange(30.0)
    image = jnp.asarray((0.02 * rows[:, None] + 0.01 * columns[None, :])[..., None])
    y, x, height, width = 4.3, 7.1, 8.5, 12.25
    cropped = resized_crop(image, y, x, height, width, size=(17, 21))[..., 0]
    # pixel i of 17 has its centre at y + (i + 1/2) height / 17, and pixel k of the image at k + 1/2
    at = [start + (np.arange(n) + 0.5) * length / n - 0.5 for start, length, n in ((y, height, 17), (x, width, 21))]
    np.testing.assert_allclose(cropped, 0.02 * at[0][:, None] + 0.01 * at[1][None, :], rtol=1e-12)


def test_shrinking_averages_and_agrees_with_jax_resize(x64, getkey):
    image = jax.random.uniform(getkey(), (12, 8, 1))
    small = resized_crop(image, 0, 0, 12, 8, size=(4, 4))
    np.testing.assert_allclose(small, jax.image.resize(image, (4, 4, 1), "linear"), rtol=1e-6)
    rows = interpolation_matrix(0.0, 12.0, size_in=12, size_out=4, dtype=jnp.float64)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
    assert (np.asarray(rows) > 0).sum(axis=1).max() >= 5  # 3 times smaller: a triangle of half-width 3


def test_integer_boxes_are_slices(getkey):
    image = jax.random.uniform(getkey(), (10, 10, 3))
    np.testing.assert_allclose(resized_crop(image, 2, 3, 5, 4, size=(5, 4)), image[2:7, 3:7], rtol=1e-6)


def test_drawn_boxes_lie_inside_and_have_the_law_they_should():
    drawn = _draw(random_resized_crop(28, scale=(0.3, 0.6), ratio=(3 / 4, 4 / 3)), (28, 28, 1))
    tall = np.sqrt(drawn["crop_scale"] / drawn["crop_aspect"])
    wide = np.sqrt(drawn["crop_scale"] * drawn["crop_aspect"])
    places = []
    for centre, extent in ((drawn["crop_y"], tall), (drawn["crop_x"], wide)):
        assert (centre - extent / 2 >= -1e-6).all() and (centre + extent / 2 <= 1 + 1e-6).all()
        place = (centre - extent / 2) / (1 - extent)  # uniform given the extent
        places.append(place)
        assert abs(place.mean() - 0.5) < 6 / np.sqrt(12 * NUM)
        assert abs(place.var() - 1 / 12) < 6 * np.sqrt(1 / 180 / NUM)
    assert abs(np.corrcoef(*places)[0, 1]) < 6 / np.sqrt(NUM)
    # At up to 60 % of a square every aspect fits, so nothing is drawn again.
    scale, log_aspect = drawn["crop_scale"], np.log(drawn["crop_aspect"])
    assert abs(scale.mean() - 0.45) < 6 * 0.3 / np.sqrt(12 * NUM)
    assert scale.min() >= 0.3 - 1e-6 and scale.max() <= 0.6 + 1e-6
    width = 2 * np.log(4 / 3)
    assert abs(log_aspect.mean()) < 6 * width / np.sqrt(12 * NUM)
    assert abs(log_aspect.std() - width / np.sqrt(12)) < 0.01
    assert abs(np.corrcoef(scale, log_aspect)[0, 1]) < 6 / np.sqrt(NUM)


def test_boxes_that_do_not_fit_are_drawn_again_then_replaced_by_the_largest_central_one():
    drawn = _draw(random_resized_crop(8, scale=(0.8, 1.0)), (28, 28, 1), 500)
    assert (drawn["crop_scale"] * np.maximum(drawn["crop_aspect"], 1 / drawn["crop_aspect"]) <= 1 + 1e-5).all()
    # A whole square image never has aspect 2: 1 is not allowed either, 2 at half the height is the nearest.
    drawn = _draw(random_resized_crop(8, scale=(0.9, 1.0), ratio=(2, 3)), (28, 28, 1), 500)
    np.testing.assert_allclose(drawn["crop_aspect"], 2, rtol=1e-6)
    np.testing.assert_allclose(drawn["crop_scale"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(drawn["crop_y"], 0.5, rtol=1e-6)


def test_flip_mirrors_columns_half_of_the_time(getkey):
    image = jax.random.uniform(getkey(), (3, 4, 1))
    augmentation = horizontal_flip(0.3)
    np.testing.assert_array_equal(augmentation.apply(image, {"flip": jnp.array(True)}), image[:, ::-1])
    np.testing.assert_array_equal(augmentation.apply(image, {"flip": jnp.array(False)}), image)
    rate = _draw(augmentation, (3, 4, 1))["flip"].mean()
    assert abs(rate - 0.3) < 6 * np.sqrt(0.21 / NUM)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: resized_crop(jnp.zeros((4, 4)), 0, 0, 1, 1, size=(2, 2)), r"wanted \[H, W, C\]"),
        (lambda: resized_crop(jnp.zeros((3, 4, 4)), 0, 0, 1, 1, size=(2, 2)), "found 4 channels"),
        (lambda: resized_crop(jnp.zeros((4, 4, 3), jnp.uint8), 0, 0, 1, 1, size=(2, 2)), "uint8 pixels"),
        (lambda: resized_crop(jnp.zeros((4, 4, 3)), 0, 0, 1, 1, size=(2, 0)), r"size=\(2, 0\)"),
        (lambda: random_resized_crop(0), "size=0"),
        (lambda: random_resized_crop(8, scale=(0.5, 1.5)), "scale"),
        (lambda: random_resized_crop(8, scale=(0.0, 1.0)), "scale"),
        (lambda: random_resized_crop(8, ratio=(2.0, 1.0)), "ratio"),
        (lambda: horizontal_flip(1.5), "probability=1.5"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
