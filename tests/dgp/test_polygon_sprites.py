"""Polygon sprites against a rasteriser in NumPy, their areas, warps and colours, and the geometry of the Jacobian."""

import colorsys
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import POLYGONS, polygon_sprites
from identax.dgp.polygon_sprites import polygon_edges
from identax.dgp.warps import AFFINE_POINTS, PROJECTIVE_POINTS, affine_map, homography

SIZE, EACH = 64, 9
CORNERS = {"triangle": (90, 210, 330), "square": (45, 135, 225, 315), "pentagon": (90, 162, 234, 306, 18)}
RADIUS = {"triangle": 0.87738, "square": 1 / math.sqrt(2), "pentagon": 0.64850}


def box_filter(shape, x, y, scale, angle=0.0, matrix=np.eye(3)):
    """Shares of pixels by EACH x EACH points in them; a point is inside where it is on the left of every edge."""
    turns = np.deg2rad(np.sort(np.array(CORNERS[shape])) + angle)
    corners = RADIUS[shape] * scale * np.stack([np.cos(turns), np.sin(turns)], axis=1) + [x, y]
    line = (np.arange(SIZE * EACH) + 0.5) / (SIZE * EACH)
    px, py = np.meshgrid(line, line[::-1])  # y upwards
    back = np.linalg.inv(matrix) @ np.stack([px.ravel(), py.ravel(), np.ones(px.size)])
    points = (back[:2] / back[2]).T
    inside = np.ones(len(points), bool)
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (ex, ey), (dx, dy) = there - here, (points - here).T
        inside &= ex * dy - ey * dx >= 0
    return inside.reshape(SIZE, EACH, SIZE, EACH).mean(axis=(1, 3))


WARPS = {
    None: np.eye(3),
    "affine": np.asarray(affine_map(*AFFINE_POINTS), float),
    "projective": np.asarray(homography(*PROJECTIVE_POINTS), float),
}


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize("shape", POLYGONS)
def test_pixels_are_those_of_a_box_filter(x64, shape, warp):
    world = polygon_sprites(size=SIZE, shapes=shape, angle=True, warp=warp)
    draw = jax.jit(world.draw)
    for x, y, scale, angle in ((0.41, 0.33, 0.16, 0.0), (0.72, 0.21, 0.2, 100.0), (0.25, 0.74, 0.12, 333.0)):
        found = np.asarray(draw(jnp.array([x, y, scale, 0.0, angle])))[..., 0]
        wanted = box_filter(shape, x, y, scale, angle, WARPS[warp])
        padded = np.pad(wanted, 1, mode="edge")
        around = np.stack([padded[i : i + SIZE, j : j + SIZE] for i in range(3) for j in range(3)])
        inner, outer = around.min(axis=0) == 1, around.max(axis=0) == 0
        assert inner.sum() > 0 and outer.sum() > 3000
        np.testing.assert_array_equal(found[inner], 1)
        np.testing.assert_array_equal(found[outer], 0)
        error = np.abs(found - wanted)[~inner & ~outer]
        assert error.max() < 0.15 and error.mean() < 0.03  # .139 and .025 found: two edges meet in the worst pixel
        assert abs(found.sum() / wanted.sum() - 1) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("shape", POLYGONS)
def test_a_polygon_of_scale_s_covers_s_squared(shape):
    world = polygon_sprites(shapes=shape)
    factors = world.grid.sample(jax.random.key(0), 64)
    area = np.asarray(world.render_batch(factors).max(axis=-1).sum(axis=(1, 2))) / 64**2
    np.testing.assert_allclose(area, factors[:, 2] ** 2, rtol=0.01)  # largest error found: .006
    (normals,), (distances,) = polygon_edges((shape,))
    half = np.tan(np.pi / len(CORNERS[shape])) * distances
    np.testing.assert_allclose([(half * distances).sum(), *(normals**2).sum(axis=1)], 1, rtol=1e-12)


def test_the_origin_is_bottom_left_and_the_triangle_points_up():
    world = polygon_sprites()
    assert world.factor_names == ("x", "y", "scale", "hue") and world.image_shape == (64, 64, 3)
    image = np.asarray(world.render([0.2, 0.75, 0.2, 0.0]))[..., 0]
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    line = (np.arange(64) + 0.5) / 64
    np.testing.assert_allclose([columns @ line / image.sum(), rows @ line / image.sum()], [0.2, 0.25], atol=2e-3)
    across = (image > 0.5).sum(axis=1)
    assert np.all(np.diff(across[across > 0]) >= 0) and across[across > 0][0] <= 2 < 15 < across.max()
    turned = polygon_sprites(angle=True).render([0.2, 0.75, 0.2, 0.0, 90.0])[..., 0]  # the corner goes left
    wide = (np.asarray(turned) > 0.5).sum(axis=0)
    assert np.all(np.diff(wide[wide > 0]) >= 0)


@pytest.mark.slow
def test_one_world_of_all_shapes_draws_each_as_its_own_world_does(x64):
    world = polygon_sprites(size=32, shapes=POLYGONS, angle=True)
    assert world.factor_names == ("x", "y", "scale", "hue", "angle", "shape")
    assert world.grid.continuous_names == ("x", "y", "scale", "hue", "angle")
    at = [0.5, 0.4, 0.2, 0.6, 17.0]
    for which, shape in enumerate(POLYGONS):
        alone = polygon_sprites(size=32, shapes=(shape,), angle=True).render(at)
        np.testing.assert_allclose(world.render([*at, which]), alone, atol=1e-12)


def test_colours_are_hsv(x64):
    for hue, shift, saturation, value in ((0.1, 0.0, 1.0, 1.0), (0.7, 0.5, 0.4, 0.8), (0.95, -0.3, 0.0, 0.5)):
        world = polygon_sprites(size=32, hue_shift=shift, saturation=saturation, value=value)
        found = world.render([0.5, 0.5, 0.2, hue])
        rgb = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        np.testing.assert_allclose(found[16, 15], rgb, atol=1e-12)
        np.testing.assert_array_equal(found[0, 0], 0)


@pytest.mark.slow
def test_the_jacobian_is_that_of_finite_differences(x64):
    world = polygon_sprites(size=16, angle=True, warp="projective", saturation=0.7, hue_shift=0.1)
    at = np.array([0.43, 0.52, 0.171, 0.37, 20.0])
    found = world.jacobian(at)
    assert found.shape == (16, 16, 3, 5)
    draw = jax.jit(world.draw)
    for k in range(5):
        step = 1e-6 * np.eye(5)[k]
        wanted = (draw(jnp.asarray(at + step)) - draw(jnp.asarray(at - step))) / 2e-6
        assert np.abs(wanted).max() > 0.01
        np.testing.assert_allclose(found[..., k], wanted, atol=1e-5)


def cosines(world):
    """Between the Jacobian's columns of x, y, scale and hue, from their Gram matrices over 16 phases of the pixels."""
    phases = np.stack(np.meshgrid(np.arange(4) / 256, np.arange(4) / 256), axis=-1).reshape(-1, 2)
    at = np.concatenate([np.array([0.43, 0.52]) + phases, np.full((16, 2), [0.171, 0.37])], axis=1)
    columns = np.asarray(jax.jit(jax.vmap(world.jacobian))(jnp.asarray(at))).reshape(16, -1, 4)
    gram = np.einsum("npi,npj->ij", columns, columns)
    return gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))


@pytest.mark.parametrize("shape", POLYGONS)
def test_position_and_scale_are_orthogonal_without_a_warp(shape):
    """A regular polygon's edges have sum_i length_i n_i = 0 and sum_i length_i n_i n_i' a multiple of 1."""
    upright = cosines(polygon_sprites(shapes=shape))
    assert np.abs(upright[np.triu_indices(3, 1)]).max() < 0.02
    assert np.abs(upright[3, :2]).max() < 2e-3
    assert 0.02 < abs(upright[3, 2]) < 0.6  # scale changes how much there is of the colour


def test_a_shear_takes_x_and_y_from_orthogonality_by_what_edges_say():
    shear = np.array([[1, 0.6, -0.3], [0, 1, 0], [0, 0, 1]])
    # Under A edge i has length L |A^-T n_i| det A and moves by n_i . v / |A^-T n_i| when the centre moves by v.
    angles = np.deg2rad([30, 150, 270])
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lengths = np.linalg.norm(normals @ np.linalg.inv(shear[:2, :2]), axis=1)
    gram = (normals / lengths[:, None]).T @ normals
    wanted = gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1])
    assert wanted > 0.1
    np.testing.assert_allclose(cosines(polygon_sprites(warp=shear))[0, 1], wanted, atol=0.03)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 4}, "size=4"),
        ({"shapes": ()}, "wanted at least one of"),
        ({"shapes": ("square", "square")}, "none twice"),
        ({"shapes": ("squares",)}, "did you mean 'square'"),
        ({"softness": 0}, "softness=0"),
        ({"saturation": 1.5}, "saturation=1.5"),
        ({"value": -0.1}, "value=-0.1"),
        ({"hue_shift": float("nan")}, "hue_shift=nan"),
        ({"warp": "shear"}, "warp='shear', wanted one of"),
        ({"warp": np.ones((3, 3))}, "singular map"),
        ({"warp": [[1, 0, 0], [0, 1, 0], [-2, 0, 1]]}, "to infinity"),
        ({"warp": np.eye(2)}, r"warp of shape \(2, 2\), wanted \[3, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=f"polygon_sprites: .*{message}"):
        polygon_sprites(**options)
