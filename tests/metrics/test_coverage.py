"""Cells of a grid that samples reach, and the polar distance of Jacobians."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import c_ima_penalty
from identax.metrics import grid_coverage, polar_distance


def test_cells_are_counted_one_by_one(x64):
    centres = np.array(list(itertools.product(np.arange(4) / 4 + 0.125, repeat=3)))
    for num in (1, 17, 64):
        chosen = np.random.default_rng(num).permutation(64)[:num]
        found = grid_coverage(np.repeat(centres[chosen], 2, axis=0), bins=4, low=0, high=1)
        np.testing.assert_allclose(found, num / 64, rtol=1e-12)
    assert grid_coverage(centres, bins=4) == 1.0  # bounds from the samples: the outermost are inside
    draws = np.random.default_rng(0).uniform(size=(40, 2))
    literal = {tuple(np.minimum((row * 5).astype(int), 4)) for row in draws}
    np.testing.assert_allclose(grid_coverage(draws, low=[0, 0], high=[1, 1]), len(literal) / 25, rtol=1e-12)


def test_edges_and_what_is_beyond_them():
    rows = np.array([[0.0, 0.0], [1.0, 1.0], [1.5, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
    np.testing.assert_allclose(grid_coverage(rows, bins=2, low=0, high=1), 2 / 4)
    assert np.isnan(grid_coverage(rows, bins=2)) and np.isnan(grid_coverage([[0.0], [np.inf]]))  # no bounds to be had


def test_full_support_and_a_missing_corner():
    draws = np.random.default_rng(1).uniform(size=(4000, 3))
    assert grid_coverage(draws, low=0, high=1) == 1.0
    cut = draws[~(draws > 0.6).all(axis=1)]
    np.testing.assert_allclose(grid_coverage(cut, low=0, high=1), 1 - 8 / 125, rtol=1e-6)
    mapped = jax.vmap(lambda x: grid_coverage(x))(jnp.stack([jnp.asarray(draws)] * 2))
    assert mapped.shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(bins=0), "found bins=0"),
        (dict(low=1, high=0), "wanted low < high"),
        (dict(low=[0.0, 0.0, 0.0]), r"found low of shape \(3,\)"),
        (dict(bins=5000), "wanted at most 16777216"),
        (dict(low="3"), "found low of type"),
        (dict(high=np.inf), "found high"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=f"grid_coverage: .*{message}"):
        grid_coverage(np.ones((4, 2)), **arguments)


@pytest.mark.slow
def test_polar_distance_is_that_of_the_svd(x64, getkey):
    matrices = np.asarray(jax.random.normal(getkey(), (4, 6, 3))) * np.array([1.0, 1e3, 1e-3])
    units = matrices / np.linalg.norm(matrices, axis=1, keepdims=True)
    left, _, right = np.linalg.svd(units, full_matrices=False)
    wanted = np.linalg.norm(units - left @ right, axis=(1, 2))
    np.testing.assert_allclose(polar_distance(matrices), wanted, rtol=1e-10)
    near = np.eye(3)[None] + 1e-4 * np.asarray(jax.random.normal(getkey(), (5, 3, 3)))
    np.testing.assert_allclose(polar_distance(near) ** 2, c_ima_penalty(near), rtol=5e-3)
    np.testing.assert_allclose(polar_distance(np.ones((2, 2))), np.sqrt((np.sqrt(2) - 1) ** 2 + 1), atol=1e-7)
    with pytest.raises(ValueError, match=r"wanted .* with D >= d"):
        polar_distance(np.ones((2, 3)))
