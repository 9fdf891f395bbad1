"""Projective and affine maps take the points that fix them where they shall, and nothing singular is accepted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import affine_map, homography, transform_points
from identax.dgp.warps import AFFINE_POINTS, PROJECTIVE_POINTS, image_warp


@pytest.mark.parametrize("make, points", [(affine_map, AFFINE_POINTS), (homography, PROJECTIVE_POINTS)])
def test_the_points_go_where_they_shall(x64, make, points):
    source, target = np.asarray(points)
    matrix = make(source, target)
    np.testing.assert_allclose(transform_points(matrix, source), target, atol=1e-12)
    np.testing.assert_allclose(transform_points(np.linalg.inv(matrix), target), source, atol=1e-12)
    np.testing.assert_allclose(jax.jit(make)(source, target), matrix, atol=1e-12)
    np.testing.assert_allclose(image_warp("f", -2 * matrix)[2] @ np.array([0.5, 0.5, 1]) > 0, True)


def test_a_homography_keeps_the_cross_ratio_and_an_affine_map_the_middle(x64):
    line = np.stack([np.array([0.1, 0.3, 0.6, 0.9]), 0.2 + 0.5 * np.array([0.1, 0.3, 0.6, 0.9])], axis=1)

    def ratio(points):
        a, b, c, d = np.asarray(points)[:, 0]
        return (c - a) * (d - b) / ((c - b) * (d - a))

    moved = transform_points(homography(*PROJECTIVE_POINTS), line)
    np.testing.assert_allclose(ratio(moved), ratio(line), rtol=1e-10)
    middle = [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    a, m, b = np.asarray(transform_points(affine_map(*AFFINE_POINTS), middle))
    np.testing.assert_allclose(m, (a + b) / 2, atol=1e-12)
    a, m, b = np.asarray(transform_points(homography(*PROJECTIVE_POINTS), middle))
    assert np.abs(m - (a + b) / 2).max() > 0.01


def test_integers_are_points():
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    np.testing.assert_allclose(homography(square, 2 * np.array(square)), np.diag([2, 2, 1]), atol=1e-6)
    np.testing.assert_allclose(affine_map(square[:3], jnp.array(square[:3]) + 3)[:2, 2], [3, 3], atol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: homography(np.eye(2), np.eye(2)), r"source of shape \(2, 2\), wanted \[4, 2\]"),
        (lambda: homography([[0, 0], [1, 0], [2, 0], [0, 1]], PROJECTIVE_POINTS[1]), "singular map"),
        (lambda: homography(PROJECTIVE_POINTS[0], [[0, 0], [1, 0], [2, 0], [0, 1]]), "singular map"),
        (lambda: affine_map([[0, 0], [1, 1], [2, 2]], AFFINE_POINTS[1]), "found source of a singular map"),
        (lambda: affine_map(AFFINE_POINTS[0], [[0, 0], [1, 1], [np.nan, 2]]), "non-finite entries in target"),
        (lambda: affine_map(AFFINE_POINTS[0], 1j * np.ones((3, 2))), "target of type complex"),
        (lambda: image_warp("f", np.zeros((3, 3))), "f: found warp of a singular map"),
    ],
)
def test_what_fixes_no_map_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
