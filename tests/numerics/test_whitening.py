"""Singular vectors by rotations, whitening and inverse roots against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.numerics import inverse_root, pca_whitening, right_singular

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rows", [9, 3, 2])
def test_singular_vectors(x64, rows):
    x = RNG.normal(size=(5, rows, 3))
    values, vectors = right_singular(x)
    found = np.linalg.svd(x, full_matrices=False)[1][:, ::-1]
    np.testing.assert_allclose(values[:, 3 - found.shape[1] :], found, rtol=1e-12)
    np.testing.assert_allclose(values[:, : 3 - found.shape[1]], 0, atol=1e-12)
    np.testing.assert_allclose(vectors.swapaxes(1, 2) @ vectors, np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(jnp.linalg.norm(x @ vectors, axis=1), values, atol=1e-12)


def test_small_values_keep_their_digits(x64):
    """1e-9 beside 1: the roots of the eigenvalues of M^T M have no digit of it."""
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    x = np.linalg.qr(RNG.normal(size=(50, 3)))[0] * np.array([1.0, 1e-5, 1e-9]) @ turn
    np.testing.assert_allclose(right_singular(x[None])[0][0], [1e-9, 1e-5, 1.0], rtol=1e-5)
    assert abs(np.linalg.eigvalsh(x.T @ x)[0] - 1e-18) > 1e-19


@pytest.mark.slow
def test_whitening(x64):
    x = RNG.normal(size=(400, 4)) @ RNG.normal(size=(4, 4)) * np.array([1.0, 100.0, 1e-3, 1.0])
    x = x - x.mean(axis=0)
    matrix, exist = pca_whitening(jnp.asarray(x), 3)
    _, values, vectors = np.linalg.svd(x, full_matrices=False)
    wanted = vectors[:3] * np.sign(vectors[:3, :1]) * 20 / values[:3, None]
    np.testing.assert_allclose(matrix, wanted, rtol=1e-8)
    z = x @ np.asarray(matrix).T
    np.testing.assert_allclose(z.T @ z / 400, np.eye(3), atol=1e-10)
    assert exist


@pytest.mark.parametrize("num", [1, 2, 3])
def test_components_that_do_not_exist_are_zero(num):
    x = RNG.normal(size=(50, 2))
    x = np.concatenate([x, x[:, :1] - 2 * x[:, 1:]], axis=1).astype(np.float32)
    matrix, exist = jax.jit(pca_whitening, static_argnums=1)(x - x.mean(axis=0), num)
    assert bool(exist) == (num <= 2)
    assert np.isfinite(matrix).all()
    np.testing.assert_array_equal(np.asarray(matrix)[2:], 0)


def test_inverse_root(x64):
    x = RNG.normal(size=(6, 4))
    found = np.asarray(inverse_root(jnp.asarray(x.T @ x)))
    np.testing.assert_allclose(found @ (x.T @ x) @ found, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
