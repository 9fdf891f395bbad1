"""Small linear systems against NumPy."""

import jax
import numpy as np
import pytest

from identax.elimination import inverse, slogdet, solve


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_solve_and_determinant_agree_with_numpy(x64, n, dtype):
    rng = np.random.default_rng(n)
    matrices = rng.normal(size=(5, n, n)).astype(dtype)
    right = rng.normal(size=(5, n, 2)).astype(dtype)
    if dtype == "complex128":
        matrices = matrices + 1j * rng.normal(size=matrices.shape)
    np.testing.assert_allclose(jax.vmap(solve)(matrices, right), np.linalg.solve(matrices, right), rtol=1e-9)
    np.testing.assert_allclose(jax.vmap(inverse)(matrices), np.linalg.inv(matrices), rtol=1e-8)
    sign, logdet = jax.vmap(slogdet)(matrices)
    wanted_sign, wanted_logdet = np.linalg.slogdet(matrices)
    np.testing.assert_allclose(sign, wanted_sign, rtol=1e-10)
    np.testing.assert_allclose(logdet, wanted_logdet, rtol=1e-9, atol=1e-12)


def test_pivots(x64):
    swap = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [5.0, 0.0, 0.0]])
    np.testing.assert_allclose(solve(jax.numpy.asarray(swap), jax.numpy.ones(3)), [0.2, 0.5, 1 / 3])
    sign, logdet = slogdet(jax.numpy.asarray(swap))
    assert float(sign) == 1.0
    np.testing.assert_allclose(logdet, np.log(30.0))


def test_a_singular_matrix_has_log_determinant_minus_infinity(x64):
    sign, logdet = slogdet(jax.numpy.asarray([[1.0, 2.0], [2.0, 4.0]]))
    assert float(sign) == 0.0
    assert np.isneginf(float(logdet))


def test_gradient_of_the_log_determinant_is_the_inverse_transposed(x64):
    matrix = np.random.default_rng(0).normal(size=(4, 4))
    found = jax.grad(lambda m: slogdet(m)[1])(jax.numpy.asarray(matrix))
    np.testing.assert_allclose(found, np.linalg.inv(matrix).T, rtol=1e-9)
