"""Blur against SciPy and its invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from identax.augment import blur_matrix, gaussian_blur, random_blur


@pytest.mark.parametrize(("sigma", "radius"), [(0.7, 3), (1.9, 6), (1.2, 20)])
def test_agrees_with_scipy(x64, getkey, sigma, radius):
    image = jax.random.uniform(getkey(), (12, 9, 3))
    radius_used = min(radius, 8)
    wanted = gaussian_filter(np.asarray(image), sigma, mode="mirror", radius=radius_used, axes=(0, 1))
    np.testing.assert_allclose(gaussian_blur(image, sigma, radius=radius_used), wanted, rtol=1e-10)


def test_matrix_sums_to_one_and_is_the_identity_at_zero(x64):
    np.testing.assert_array_equal(blur_matrix(0.0, size=5, radius=2, dtype=jnp.float64), np.eye(5))
    # a radius larger than the image is cut to it, a single row has nothing to mix with
    np.testing.assert_allclose(blur_matrix(3.0, size=4, radius=50, dtype=jnp.float64).sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(blur_matrix(3.0, size=1, radius=2, dtype=jnp.float64), [[1]], rtol=1e-12)


def test_gradient_in_sigma_is_finite_at_zero(getkey):
    image = jax.random.uniform(getkey(), (6, 6, 1))
    gradient = jax.grad(lambda sigma: jnp.sum(gaussian_blur(image, sigma, radius=2) ** 2))
    assert np.isfinite(gradient(0.0)) and gradient(0.8) < 0


def test_law_of_sigma():
    image = jnp.zeros((4, 4, 1))
    keys = jax.random.split(jax.random.key(2), 4000)
    drawn = jax.jit(jax.vmap(lambda key: random_blur((0.5, 1.5), probability=0.25).draw(key, image)))(keys)
    on, sigma = np.asarray(drawn["blur"]), np.asarray(drawn["blur_sigma"])
    assert abs(on.mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 4000)
    assert (sigma[~on] == 0).all() and sigma[on].min() >= 0.5 and sigma[on].max() <= 1.5
    assert abs(sigma[on].mean() - 1) < 6 / np.sqrt(12 * on.sum())
    assert set(random_blur(probability=1).draw(keys[0], image)) == {"blur_sigma"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: random_blur((-1.0, 2.0)),
        lambda: random_blur((2.0, 1.0)),
        lambda: random_blur(probability=1.01),
        lambda: random_blur(radius=0),
        lambda: gaussian_blur(jnp.zeros((4, 4, 1)), 1.0, radius=0),
        lambda: gaussian_blur(jnp.zeros((4, 4, 1), jnp.int32), 1.0, radius=2),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="wanted"):
        call()
