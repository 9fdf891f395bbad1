"""Rendered scenes: the published grid, outlines against marched rays, hues, light, and the Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from identax.dgp import SCENE_SHAPES, scenes

WORLD = scenes()
RENDER = jax.jit(jax.vmap(WORLD.draw))
HUES = (0.0, 1 / 3, 2 / 3)  # pure red floor, green walls, blue object: one channel each
EXAMPLES = [(0.75, -30.0), (1.0, 11.0), (1.25, 24.0)]


def images(shape, pairs=EXAMPLES, hues=HUES):
    return np.asarray(RENDER(jnp.array([[*hues, size, shape, azimuth] for size, azimuth in pairs])))


def rays(azimuth, num=64):
    """Origin [3] and unit directions [num, num, 3] of a pinhole camera, from its place and its axes."""
    a = np.deg2rad(azimuth)
    eye, target = np.array([5.2 * np.sin(a), 3.0, 5.2 * np.cos(a)]), np.array([0, 0.95, 0])
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, [0, 1, 0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    line = (2 * np.arange(num) + 1) / num - 1
    d = ahead + (line[None, :, None] * right - line[:, None, None] * up) / 1.7
    return eye, d / np.linalg.norm(d, axis=-1, keepdims=True)


def inside(points, shape, size):
    """How far points [..., 3] are inside the solid, from its definition; negative outside."""
    x, y, z = np.moveaxis(points, -1, 0)
    if shape == 0:
        return np.minimum(
            0.72 * size - np.abs(x), np.minimum(0.72 * size - np.abs(y - 0.72 * size), 0.72 * size - np.abs(z))
        )
    if shape == 1:
        return np.minimum(0.78 * size - np.hypot(x, z), 0.78 * size - np.abs(y - 0.78 * size))
    radius, straight = (0.92 * size, 0) if shape == 2 else (0.62 * size, 0.5 * size)
    y = y - radius - straight
    return radius - np.sqrt(x**2 + z**2 + np.maximum(np.abs(y) - straight, 0) ** 2)


@pytest.mark.slow
def test_the_published_grid():
    assert WORLD.factor_names == ("floorCol", "wallCol", "objCol", "objSize", "objType", "objAzimuth")
    assert WORLD.factor_sizes == (10, 10, 10, 8, 4, 15) and len(WORLD.grid) == 480_000
    np.testing.assert_allclose(WORLD.grid["wallCol"].values, np.arange(10) / 10)
    np.testing.assert_allclose(WORLD.grid["objSize"].values, np.linspace(0.75, 1.25, 8))
    np.testing.assert_allclose(WORLD.grid["objAzimuth"].values, np.linspace(-30, 30, 15))
    assert WORLD.grid["objType"].values == (0, 1, 2, 3) and not WORLD.grid["objType"].continuous
    last = WORLD.render(WORLD.grid.values(WORLD.grid.codes(479_999)))
    assert last.shape == WORLD.image_shape == (64, 64, 3)


@pytest.mark.parametrize("shape", range(4))
def test_the_object_is_where_marched_rays_meet_it(shape):
    assert len(SCENE_SHAPES) == 4
    for image, (size, azimuth) in zip(images(shape), EXAMPLES, strict=True):
        eye, d = rays(azimuth)
        steps = np.linspace(3, 8, 1000)
        deepest = np.full((64, 64), -np.inf)
        for t in steps:
            deepest = np.maximum(deepest, inside(eye + t * d, shape, size))
        covered = image[..., 2] > 0.01
        # Away from the outline by more than a soft edge (a pixel is about 0.1 there), the two must agree.
        assert covered[deepest > 0.02].all() and not covered[deepest < -0.12].any()
        assert (deepest > 0.02).sum() > 80
        full = image[..., :2].max(axis=-1) < 1e-6
        assert full[deepest > 0.15].all()


def test_floor_and_walls_are_where_rays_meet_their_planes():
    azimuths = (-30.0, 0.0, 30.0)
    lights = {name: [] for name in ("back", "left", "right")}
    for image, azimuth in zip(images(2, [(1.0, azimuth) for azimuth in azimuths]), azimuths, strict=True):
        eye, d = rays(azimuth)
        down = np.where(d[..., 1] < 0, -eye[1] / np.minimum(d[..., 1], -1e-9), np.inf)
        back = (-3.6 - eye[2]) / d[..., 2]
        left, right = (np.where(s * d[..., 0] > 0, (3.9 * s - eye[0]) / d[..., 0], np.inf) for s in (-1, 1))
        plane = np.argmin([down, back, left, right], axis=0)
        # Not on a soft edge, not on the object: all neighbours within two pixels are of one plane.
        plain = (minimum_filter(plane, 5) == maximum_filter(plane, 5)) & (image[..., 2] < 1e-5)
        assert (image[plain & (plane == 0), 1] < 1e-5).all() and (image[plain & (plane == 0), 0] > 0.3).all()
        assert (image[plain & (plane > 0), 0] < 1e-5).all() and (plain & (plane == 0)).sum() > 500
        for k, name in enumerate(lights, start=1):
            lights[name].append(image[plain & (plane == k), 1])
    lights = {name: np.concatenate(found) for name, found in lights.items()}
    for found in lights.values():
        assert len(found) > 100 and np.ptp(found) < 1e-5  # a plane has one light, from everywhere
    assert lights["left"][0] > lights["right"][0] and lights["back"][0] > lights["right"][0]


def test_hues_touch_their_own_surfaces_only():
    first = images(3)
    masks = [first[..., k] > 1e-5 for k in range(3)]
    for k in range(3):
        hues = [0.9 if j == k else hue for j, hue in enumerate(HUES)]
        changed = np.abs(images(3, hues=hues) - first).max(axis=-1) > 1e-4
        assert changed.any() and not changed[~masks[k]].any()


def test_a_larger_object_covers_more_and_every_azimuth_is_another_image():
    for shape in range(4):
        areas = images(shape, [(size, 0.0) for size in np.linspace(0.75, 1.25, 8)])[..., 2] > 0.1
        assert (np.diff(areas.sum(axis=(1, 2))) > 0).all()
        turned = images(shape, [(1.0, azimuth) for azimuth in np.linspace(-30, 30, 15)])
        assert (np.abs(np.diff(turned, axis=0)).max(axis=(1, 2, 3)) > 0.1).all()


def test_all_of_the_grid_is_in_range():
    factors = WORLD.grid.sample(jax.random.key(1), 256, continuous=False)
    found = np.asarray(RENDER(factors))
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_light_comes_from_above_on_the_right():
    sphere = images(2, [(1.25, 0.0)], hues=(0.0, 0.0, 1 / 3))[0]
    light = np.where(sphere[..., 0] < 1e-6, sphere[..., 1], 0)
    rows, columns = np.nonzero(light)
    mean = [(light[rows, columns] * at).sum() / light.sum() - at.mean() for at in (rows, columns)]
    assert mean[0] < -0.3 and mean[1] > 0.1
    box = images(0, [(1.25, -20.0)])[0][..., 2]
    assert len(np.unique(np.round(box[box > 0.2], 4))) >= 3  # three faces, three lights


def test_the_jacobian_is_that_of_finite_differences(x64):
    difference = jax.jit(lambda at, step: (WORLD.draw(at + step) - WORLD.draw(at - step)) / 2e-6)
    jacobian = jax.jit(WORLD.jacobian)
    for shape in range(4):
        at = jnp.array([0.12, 0.44, 0.78, 1.037, shape, 13.71])
        found = jacobian(at)
        assert found.shape == (64, 64, 3, 5) and np.isfinite(found).all()
        for k, position in enumerate((0, 1, 2, 3, 5)):
            wanted = difference(at, jnp.zeros(6).at[position].set(1e-6))
            scale = np.abs(wanted).max()
            assert scale > 0.03
            np.testing.assert_allclose(found[..., k], wanted, atol=1e-4 * scale)


@pytest.mark.slow
def test_the_jacobian_is_finite_on_the_grid():
    factors = WORLD.grid.sample(jax.random.key(0), 16, continuous=False, fixed={"objAzimuth": 0.0})
    assert np.isfinite(jax.jit(jax.vmap(WORLD.jacobian))(factors)).all()
    # An odd size has a column of rays straight ahead, an azimuth of 0 without any sideways part.
    odd = scenes(size=33)
    assert np.isfinite(jax.jit(jax.vmap(odd.jacobian))(factors)).all()


@pytest.mark.slow
def test_reverse_mode_agrees_with_forward_mode(x64):
    at = jnp.array([0.12, 0.44, 0.78, 1.037, 1.0, 13.71])
    weights = jax.random.normal(jax.random.key(3), WORLD.image_shape)
    reverse = jax.jit(jax.grad(lambda factors: (weights * WORLD.draw(factors)).sum()))(at)
    forward = jnp.einsum("hwc,hwck->k", weights, jax.jit(WORLD.jacobian)(at))
    np.testing.assert_allclose(reverse[jnp.array([0, 1, 2, 3, 5])], forward, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_float32_and_float64_agree(x64):
    factors = WORLD.grid.sample(jax.random.key(2), 8)
    render = jax.jit(jax.vmap(WORLD.draw))
    double, single = render(factors), render(factors.astype(jnp.float32))
    assert double.dtype == jnp.float64 and single.dtype == jnp.float32
    np.testing.assert_allclose(double, single, atol=2e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: WORLD.render([0, 0, 0, 1, 4, 0]), r"factor objType: found 4.0, wanted one of \[0, 1, 2, 3\]"),
        (lambda: WORLD.render([0, 0, 0, 1.3, 1, 0]), r"factor objSize: found 1.29.*|found 1.3, wanted 0.75 to 1.25"),
        (lambda: WORLD.render([0, 0, 0, 1, 1, 31]), "factor objAzimuth: found 31.0, wanted -30 to 30"),
        (lambda: WORLD.render([0, -0.1, 0, 1, 1, 0]), "factor wallCol: found -0.1"),
        (lambda: scenes(size=7), "found size=7"),
        (lambda: scenes(softness=float("nan")), "softness=nan"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
