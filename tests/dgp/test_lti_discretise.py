"""Discretisation against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from identax.dgp.lti_discretise import zero_order_hold

MOTOR = np.array([[-2.0, 0.02], [-1.0, -10.0]]), np.array([[2.0], [0.0]])


def test_zero_order_hold_equals_scipy(x64):
    rng = np.random.default_rng(1)
    singular = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    for A, B, dt in ((*MOTOR, 0.01), (*singular, 0.3), (rng.standard_normal((4, 4)), rng.standard_normal((4, 2)), 0.7)):
        C, D = np.eye(A.shape[0]), np.zeros(B.shape)
        wanted = scipy.signal.cont2discrete((A, B, C, D), dt, method="zoh")
        found = zero_order_hold(A, B, dt)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(zero_order_hold(*singular, 0.3)[1], [[0.045], [0.3]], rtol=1e-12)


def test_two_steps_of_zero_order_hold_are_one_of_twice_the_length_in_float32_and_under_transformations():
    A, B = (jnp.asarray(matrix, jnp.float32) for matrix in MOTOR)
    half, full = zero_order_hold(A, B, 0.05), jax.jit(zero_order_hold)(A, B, 0.1)
    assert half[0].dtype == jnp.float32
    np.testing.assert_allclose(half[0] @ half[0], full[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(half[0] @ half[1] + half[1], full[1], rtol=1e-5, atol=1e-7)
    # d A_d / d dt = A A_d
    slope = jax.jacfwd(lambda dt: zero_order_hold(A, B, dt)[0])(0.1)
    np.testing.assert_allclose(slope, A @ full[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("A", "B", "dt", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 1)), 0.1, "found A of shape"),
        (np.eye(2), np.ones((3, 1)), 0.1, "found B of shape"),
        (np.eye(2), np.ones(2), 0.1, "found B of shape"),
        (np.eye(2), np.ones((2, 1)), 0.0, "found dt"),
        (np.eye(2), np.ones((2, 1)), np.ones(2), "wanted a scalar"),
        (np.full((2, 2), np.nan), np.ones((2, 1)), 0.1, "non-finite"),
    ],
)
def test_zero_order_hold_refuses(A, B, dt, message):
    with pytest.raises(ValueError, match=message):
        zero_order_hold(A, B, dt)
