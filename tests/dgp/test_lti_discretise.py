"""Discretisation against SciPy."""

from decimal import Decimal, localcontext

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


def _exact(A, B, dt):
    """The series at A dt / 2^k in rational numbers of 200 digits, doubled k times."""
    with localcontext() as context:
        context.prec = 200
        A, B = (np.vectorize(lambda entry: Decimal(float(entry)), otypes=[object])(matrix) for matrix in (A, B))
        identity, doublings = np.diag([Decimal(1)] * len(A)), 60
        step = Decimal(float(dt)) / 2**doublings
        held = driven = term = identity
        for k in range(1, 12):
            term = term @ A * step / k
            held, driven = held + term, driven + term / (k + 1)
        driven = driven @ B * step
        for _ in range(doublings):
            held, driven = held @ held, driven + held @ driven
        return held.astype(float), driven.astype(float)


STIFF = [
    ([[-1e6]], [[1.0]], 1.0),
    ([[3, 1], [0, 2]], [[1], [1]], 10),
    ([[-10.0]], [[1.0]], 1.0),
    ([[-1, 1e6], [0, -1.5]], [[1.0], [1.0]], 1.0),
    ([[-1]], [[1e12]], 1),
    ([[0, 1], [-1, 0]], [[0], [1]], 2),
]


@pytest.mark.parametrize("system", STIFF)
def test_stiff_unstable_and_badly_scaled_systems_in_float32(system):
    """scipy's and JAX's exponential of the block lose 3 % of the second in float32, and the first is NaN."""
    wanted = _exact(*system)
    A, B, dt = system
    traced = jax.jit(zero_order_hold)(jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32), float(dt))
    for found, roundings in (
        (zero_order_hold(A, B, dt), 1),
        (traced, 8 + 2 * abs(dt) * np.abs(np.linalg.eigvals(A)).max()),
    ):
        for part, want in zip(found, wanted, strict=True):
            assert part.dtype == jnp.float32
            np.testing.assert_allclose(part, want, rtol=6e-8 * min(roundings, 100), atol=1e-37)


@pytest.mark.slow
def test_gradient_of_a_stiff_system_is_finite_and_it_maps_over_batches():
    A = jnp.array([[[-1e6, 1.0], [0.0, -1.0]], [[-0.2, 1.0], [0.0, -1.0]]])
    slope = jax.vmap(jax.grad(lambda A: zero_order_hold(A, jnp.eye(2), 1.0)[1].sum()))(A)
    assert jnp.isfinite(slope).all()
    alone = jax.grad(lambda A: zero_order_hold(A, jnp.eye(2), 1.0)[1].sum())(A[1])
    np.testing.assert_allclose(slope[1], alone, rtol=1e-5)


@pytest.mark.parametrize(
    ("A", "B", "dt", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 1)), 0.1, "found A of shape"),
        (np.eye(2), np.ones((3, 1)), 0.1, "found B of shape"),
        (np.eye(2), np.ones(2), 0.1, "found B of shape"),
        (np.eye(2), np.ones((2, 1)), 0.0, "found dt"),
        (np.eye(2), np.ones((2, 1)), np.ones(2), "wanted a scalar"),
        (np.full((2, 2), np.nan), np.ones((2, 1)), 0.1, "non-finite"),
        (np.eye(2) * 1j, np.ones((2, 1)), 0.1, "A of type complex128"),
        ([[100.0]], [[1.0]], 1.0, r"entries up to 2.69e\+43 for dt=1.0, wanted numbers that float32 holds"),
    ],
)
def test_zero_order_hold_refuses(A, B, dt, message):
    with pytest.raises(ValueError, match=message):
        zero_order_hold(A, B, dt)
