"""Rendered sprites: the published grid, places and areas of the shapes, and the Jacobian against finite differences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import sprites
from identax.dgp.image_world import coverage, hue_to_rgb
from identax.dgp.sprites import SPRITE_SHAPES, sprite_distance

WORLD = sprites()
RENDER = jax.jit(jax.vmap(WORLD.draw))


def images(shape, scale=1.0, angle=0.0, x=0.5, y=0.5):
    factors = np.broadcast_arrays(1.0, shape, scale, angle, x, y)
    return np.asarray(RENDER(jnp.stack([np.ravel(f) for f in factors], axis=-1)))[..., 0]


def centroid(image):
    line = (np.arange(64) + 0.5) / 64
    return np.array([image.sum(0) @ line, image.sum(1) @ line]) / image.sum()


def test_the_published_grid():
    assert WORLD.factor_names == ("color", "shape", "scale", "orientation", "posX", "posY")
    assert WORLD.factor_sizes == (1, 3, 6, 40, 32, 32) and len(WORLD.grid) == 737_280
    np.testing.assert_allclose(WORLD.grid["scale"].values, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    np.testing.assert_allclose(WORLD.grid["orientation"].values, np.linspace(0, 2 * np.pi, 40))
    np.testing.assert_allclose(WORLD.grid["posY"].values, np.linspace(0, 1, 32))
    last = WORLD.grid.values(WORLD.grid.codes(len(WORLD.grid) - 1))
    np.testing.assert_allclose(last, [1, 3, 1, 2 * np.pi, 1, 1], rtol=1e-6)
    assert WORLD.render(last).shape == WORLD.image_shape == (64, 64, 1)  # a float32 2 pi lies above 2 pi


@pytest.mark.parametrize("shape", [1, 2, 3])
def test_position_moves_the_centre_and_nothing_is_cut_off(shape):
    angle = np.linspace(0, 2 * np.pi, 9)
    corners = [images(shape, angle=angle, x=x, y=y) for x, y in ((0, 0), (1, 0), (0, 1))]
    for found in corners:
        assert found.min() >= 0 and found.max() == 1
        edges = [found[:, 0], found[:, -1], found[:, :, 0], found[:, :, -1]]
        assert max(edge.max() for edge in edges) < 0.01
    start, right, down = (np.stack([centroid(image) for image in found]) for found in corners)
    np.testing.assert_allclose(right - start, np.broadcast_to([0.5, 0], (9, 2)), atol=1e-4)
    np.testing.assert_allclose(down - start, np.broadcast_to([0, 0.5], (9, 2)), atol=1e-4)


def test_areas():
    area = {"square": 0.33**2, "ellipse": math.pi * 0.23 * 0.115, "heart": (4 + math.pi) * 0.12**2}
    for shape, name in enumerate(SPRITE_SHAPES, start=1):
        for scale in (0.5, 0.8, 1.0):
            found = images(shape, scale, np.linspace(0, 1.5, 7), 0.43).sum(axis=(1, 2)) / 64**2
            np.testing.assert_allclose(found, area[name] * scale**2, rtol=0.02)


def test_orientation_turns_and_symmetries_are_those_of_the_shapes():
    quarter = math.pi / 2
    turned = [images(shape, angle=[0.3, 0.3 + quarter, 0.3 + 2 * quarter]) for shape in (1, 2, 3)]
    for shape, (first, second, third) in zip(SPRITE_SHAPES, turned, strict=True):
        np.testing.assert_allclose(np.rot90(first, -1), second, atol=1e-4)  # clockwise, y points down
        assert (np.abs(first - second).max() < 1e-4) == (shape == "square")
        assert (np.abs(first - third).max() < 1e-4) == (shape != "heart")
    upright = images(3)[0]
    np.testing.assert_allclose(upright, upright[:, ::-1], atol=1e-5)
    rows = upright.sum(axis=1)
    assert np.flatnonzero(rows > 1)[-1] - rows.argmax() > 12  # the point is below
    notch = upright[:, 31]
    assert upright[21, 25] > 0.9 and notch[21] < 0.5 and notch[30] == 1


@pytest.mark.parametrize("shape", [1, 2, 3])
def test_distances_have_unit_slope_at_the_outline(x64, shape):
    x, y = jnp.meshgrid(jnp.linspace(-0.3, 0.3, 241), jnp.linspace(-0.3, 0.3, 241))
    d = sprite_distance(shape, x, y)
    dx, dy = jax.grad(lambda x, y: sprite_distance(shape, x, y).sum(), argnums=(0, 1))(x, y)
    near = np.abs(d) < 0.01
    assert near.sum() > 500 and d[120, 120] < -0.05
    slope = np.hypot(dx, dy)[near]
    assert 0.9 < np.quantile(slope, 0.01) and np.quantile(slope, 0.99) < 1.1


@pytest.mark.slow
def test_the_jacobian_is_that_of_finite_differences(x64):
    for shape in (1.0, 2.0, 3.0):
        at = np.array([1, shape, 0.77, 0.4321, 0.512, 0.387])
        found = WORLD.jacobian(at)
        assert found.shape == (64, 64, 1, 4) and np.isfinite(found).all()
        for k in range(4):
            step = np.zeros(6)
            step[2 + k] = 1e-6
            wanted = (WORLD.draw(jnp.asarray(at + step)) - WORLD.draw(jnp.asarray(at - step))) / 2e-6
            assert np.abs(wanted).max() > 0.5
            np.testing.assert_allclose(found[..., k], wanted, atol=2e-4)
    # another program: without XLA's expensive passes the two differ by a rounding
    np.testing.assert_allclose(WORLD.jacobian(at, ["posX"])[..., 0], found[..., 2], rtol=1e-12, atol=1e-12)


@pytest.mark.slow  # to the bit as users compile it
def test_one_column_of_the_jacobian_is_that_of_all(x64):
    at = np.array([1, 3.0, 0.77, 0.4321, 0.512, 0.387])
    np.testing.assert_array_equal(WORLD.jacobian(at, ["posX"])[..., 0], WORLD.jacobian(at)[..., 2])


def test_the_jacobian_is_finite_on_pixels_and_grid_points():
    every = WORLD.grid.sample(jax.random.key(0), 24, continuous=False)
    exact = jnp.array([[1, s, 1, 0, 0.5 + 1 / 64, 0.5 + 1 / 64] for s in (1, 2, 3)])  # a pixel in the very centre
    jacobians = jax.jit(jax.vmap(WORLD.jacobian))(jnp.concatenate([every, exact]))
    assert np.isfinite(jacobians).all()


def test_colour_is_a_hue(x64):
    world = sprites(num_hues=4, size=32)
    assert world.image_shape == (32, 32, 3) and world.factor_sizes[0] == 4
    assert "color" in world.grid.continuous_names
    white = sprites(size=32).render([1, 1, 1, 0.3, 0.5, 0.5])
    for hue, rgb in ((0, (1, 0, 0)), (1 / 3, (0, 1, 0)), (2 / 3, (0, 0, 1)), (0.5, (0, 1, 1)), (1, (1, 0, 0))):
        np.testing.assert_allclose(world.render([hue, 1, 1, 0.3, 0.5, 0.5]), white * np.array([[rgb]]), atol=1e-12)
    import colorsys

    for hue in np.linspace(0, 1, 17):
        np.testing.assert_allclose(hue_to_rgb(jnp.asarray(hue)), colorsys.hsv_to_rgb(hue, 1, 1), atol=1e-12)


def test_edges_are_as_soft_as_wanted():
    np.testing.assert_allclose(coverage(jnp.array([-1.0, -0.5, 0.0, 0.5, 1.0]), 2.0), [1, 27 / 32, 0.5, 5 / 32, 0])
    hard, soft = (sprites(softness=width).render([1, 1, 1, 0.3, 0.5, 0.5]) for width in (0.5, 4))
    grey = [((image > 0) & (image < 1)).sum() for image in (hard, soft)]
    assert 4 * grey[0] < grey[1]


def test_names_and_the_process(getkey):
    named = WORLD.render({"shape": 3, "scale": 0.8, "orientation": 1.0, "posX": 0.2, "posY": 0.7})
    np.testing.assert_array_equal(named, WORLD.render([1, 3, 0.8, 1, 0.2, 0.7]))
    dgp = WORLD.dgp(fixed={"shape": 2})
    drawn = jax.jit(lambda key: dgp.sample(dgp.init(key), key, 5))(getkey())
    assert set(np.asarray(drawn.latents)[:, 1].tolist()) == {2}
    np.testing.assert_allclose(drawn.observations, RENDER(drawn.latents), atol=1e-6)
    many = WORLD.render_batch(drawn.latents, chunk_size=2)
    np.testing.assert_allclose(many, drawn.observations, atol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: WORLD.render([1, 4, 1, 0, 0.5, 0.5]), r"factor shape: found 4.0, wanted one of \[1, 2, 3\]"),
        (lambda: WORLD.render([1, 3, 1.2, 0, 0.5, 0.5]), r"factor scale: found 1.2.*, wanted 0.5 to 1"),
        (lambda: WORLD.render([1, 3, 1, 0, float("nan"), 0.5]), "factor posX: found nan"),
        (lambda: WORLD.render([1, 3, 1, 0, 0.5]), r"shape \(5,\), wanted \[..., 6\] \(color, shape"),
        (lambda: WORLD.render(jnp.ones((2, 6))), r"shape \(2, 6\), wanted one image's \[K\]; use jax.vmap"),
        (lambda: WORLD.render_batch([[1, 3, 1, 0, 0.5, 2]]), "factor posY: found 2.0"),
        (lambda: WORLD.render_batch([1, 3, 1, 0, 0.5, 1]), r"shape \(6,\) and chunk_size=None, wanted \[N, K\]"),
        (lambda: WORLD.render_batch([[1, 3, 1, 0, 0.5, 1]], chunk_size=0), "chunk_size=0"),
        (lambda: WORLD.render({"shape": 1, "position": 1}), "found name='position', wanted one of"),
        (lambda: WORLD.jacobian([1, 3, 1, 0, 0.5, 0.5], ["shape"]), r"found the categorical factors \['shape'\]"),
        (lambda: WORLD.jacobian([1, 3, 1, 0, 0.5, 2]), "factor posY: found 2.0"),
        (lambda: sprites(size=4), "found size=4"),
        (lambda: sprites(softness=0), "softness=0"),
        (lambda: sprites(num_hues=0), "num_hues=0"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
