"""The diagonal of R without a QR: against LAPACK, closed forms, and where there is no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.numerics import column_shares


def contrast(matrix):
    return -jnp.log(column_shares(matrix)[1]).sum(axis=-1)


CLOSED = {
    "shear": ([[1, 1], [0, 1]], 0.5 * np.log(2)),
    "parabola": ([[1, 0], [2, 1]], 0.5 * np.log(5)),
    "three": ([[1, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 1]], 1.05003041444129),
    "tall": ([[1, 0], [1, 1], [0, 2]], 0.5 * np.log(10 / 9)),
    "one column": ([[2.0], [1.0]], 0.0),
}


@pytest.mark.parametrize("name", CLOSED)
def test_values_that_are_known(x64, name):
    matrix, wanted = CLOSED[name]
    found = contrast(jnp.asarray(matrix, float))
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    sizes = jnp.asarray([1e-150, 1e140, 7.0])[: np.shape(matrix)[1]]
    np.testing.assert_allclose(contrast(jnp.asarray(matrix, float) * sizes[None]), wanted, atol=1e-14)


@pytest.mark.parametrize("shape", [(4, 4), (50, 3), (2, 9, 5)], ids=str)
def test_norms_and_shares_are_those_of_a_qr(x64, getkey, shape):
    matrices = jax.random.normal(getkey(), shape) @ jnp.diag(10.0 ** jnp.arange(shape[-1]))
    norms, shares = column_shares(matrices)
    np.testing.assert_allclose(norms, np.linalg.norm(matrices, axis=-2), rtol=1e-13)
    diagonal = np.abs(np.diagonal(np.linalg.qr(matrices)[1], axis1=-2, axis2=-1))
    np.testing.assert_allclose(shares * norms, diagonal, rtol=1e-11)


def test_nearly_dependent_columns_keep_their_digits(x64):
    """J^T J has determinant 1e-20 here: half its digits would be gone."""
    _, shares = column_shares(jnp.asarray([[1.0, 1.0], [0.0, 1e-10], [0.0, 0.0]]))
    np.testing.assert_allclose(shares[1], 1e-10, rtol=1e-6)


@pytest.mark.slow
def test_dependent_zero_and_broken_columns():
    cases = jnp.asarray(
        [[[1, 2, 0], [1, 2, 0], [1, 2, 1]], [[1, 0, 1], [0, 0, 1], [0, 0, 0]], [[1, np.nan, 0], [0, 1, 0], [0, 0, 1]]]
    )
    norms, shares = column_shares(cases)
    np.testing.assert_allclose(shares[0], [1, 0, np.sqrt(2 / 3)], rtol=1e-6)
    np.testing.assert_allclose(shares[1], [1, 1, np.sqrt(1 / 2)], rtol=1e-6)
    assert norms[1, 1] == 0 and np.isnan(norms[2, 1]) and np.isnan(shares[2, 1])
    wide = column_shares(jnp.ones((2, 3)) + jnp.eye(3)[:2])[1]
    assert wide[2] == 0 and (wide[:2] > 0).all()
    slopes = jax.grad(lambda matrices: (column_shares(matrices)[1]).sum())(cases[:2])
    assert np.isfinite(slopes).all()


@pytest.mark.slow
def test_the_gradient_is_that_of_the_determinant(x64, getkey):
    """d/dJ of sum log ||J_k|| - 1/2 log det J^T J = J / ||J_k||^2 - (J^+)^T, and a Hessian at orthogonal columns."""
    matrix = jax.random.normal(getkey(), (6, 4))
    wanted = matrix / (matrix**2).sum(axis=0, keepdims=True) - jnp.linalg.pinv(matrix).T
    np.testing.assert_allclose(jax.grad(contrast)(matrix), wanted, atol=1e-12)
    # Near the identity the contrast is the sum over pairs of (J_ij + J_ji)^2 / 2.
    bend = jnp.asarray([[0.0, 1.0], [0.0, 0.0]])
    second = jax.hessian(lambda t: contrast(jnp.eye(2) + t * bend))(0.0)
    np.testing.assert_allclose(second, 1.0, rtol=1e-12)
