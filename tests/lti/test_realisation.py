"""Coordinate-free quantities against SciPy and control theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from identax.lti.realisation import controllability, ho_kalman, markov_parameters, observability, transfer_function

CIRCLE = np.exp(2j * np.pi * np.linspace(0.0, 0.5, 7))


def _system(d_x=3, d_u=2, d_y=2, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((d_x, d_x))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    return A, rng.standard_normal((d_x, d_u)), rng.standard_normal((d_y, d_x))


def test_markov_parameters_are_the_impulse_response(x64):
    A, B, C = _system()
    found = markov_parameters(A, B, C, 6)
    system = scipy.signal.dlti(A, B, C, np.zeros((2, 2)), dt=1.0)
    _, response = scipy.signal.dimpulse(system, n=7)
    wanted = np.stack(response, axis=-1)[1:]  # y_0 = 0: no direct feed-through
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def test_transfer_function_sums_the_markov_parameters_and_equals_scipy(x64):
    A, B, C = _system()
    z = 2.0 * CIRCLE.reshape(7, 1)  # outside the circle: the series converges like 0.45^j
    found = transfer_function(A, B, C, z)
    assert found.shape == (7, 1, 2, 2) and found.dtype == jnp.complex128
    series = np.asarray(markov_parameters(A, B, C, 80))
    wanted = np.einsum("jyu,kj->kyu", series, z ** -(1.0 + np.arange(80)))
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-10, atol=1e-12)
    numerator = np.poly(A - B[:, :1] @ C[:1]) - np.poly(A)  # det(zI - A + bc) = det(zI - A) (1 + c (zI - A)^-1 b)
    _, response = scipy.signal.freqz(numerator, np.poly(A), worN=np.angle(CIRCLE), include_nyquist=True)
    np.testing.assert_allclose(transfer_function(A, B, C, CIRCLE)[:, 0, 0], response, rtol=1e-9)


def test_transfer_function_of_a_real_point_and_in_float32():
    A, B, C = (matrix.astype(np.float32) for matrix in _system())
    found = transfer_function(A, B, C, 1.0)
    assert found.shape == (2, 2) and found.dtype == jnp.complex64
    np.testing.assert_allclose(found, C @ np.linalg.solve(np.eye(3) - A, B), rtol=1e-4)


def test_transfer_function_maps_over_systems():
    many = [_system(seed=seed) for seed in range(3)]
    stacked = [np.stack(matrices).astype(np.float32) for matrices in zip(*many, strict=True)]
    found = jax.jit(jax.vmap(lambda A, B, C: transfer_function(A, B, C, 1.5)))(*stacked)
    wanted = np.stack([C @ np.linalg.solve(1.5 * np.eye(3) - A, B) for A, B, C in many])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_nothing_depends_on_the_coordinates_of_the_state(x64):
    A, B, C = _system()
    S = np.random.default_rng(5).standard_normal((3, 3))
    other = S @ A @ np.linalg.inv(S), S @ B, C @ np.linalg.inv(S)
    np.testing.assert_allclose(markov_parameters(*other, 5), markov_parameters(A, B, C, 5), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        transfer_function(*other, CIRCLE), transfer_function(A, B, C, CIRCLE), rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose(controllability(*other[:2]), S @ controllability(A, B), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        observability(other[0], other[2]), observability(A, C) @ np.linalg.inv(S), rtol=1e-9, atol=1e-10
    )


def test_controllability_and_observability(x64):
    A, B, C = _system()
    np.testing.assert_allclose(controllability(A, B), np.hstack([B, A @ B, A @ A @ B]), rtol=1e-12)
    np.testing.assert_allclose(observability(A, C), np.vstack([C, C @ A, C @ A @ A]), rtol=1e-12)
    # a mode that the control does not reach, one that the output does not see
    diagonal = np.diag([0.5, 0.3])
    assert np.linalg.matrix_rank(controllability(diagonal, [[1.0], [0.0]])) == 1
    assert np.linalg.matrix_rank(observability(diagonal, [[1.0, 0.0]])) == 1
    # A satisfies its characteristic polynomial, so that A^3 B lies in the span
    coefficients = np.poly(A)
    powers = [np.linalg.matrix_power(A, k) @ B for k in range(4)]
    np.testing.assert_allclose(sum(c * p for c, p in zip(coefficients, powers[::-1], strict=True)), 0, atol=1e-12)


@pytest.mark.parametrize(("d_x", "d_u", "d_y", "blocks"), [(3, 2, 2, {}), (4, 1, 1, {}), (3, 1, 2, {"rows": 2})])
def test_ho_kalman_realises_its_own_markov_parameters(x64, d_x, d_u, d_y, blocks):
    A, B, C = _system(d_x, d_u, d_y, seed=7)
    found = ho_kalman(markov_parameters(A, B, C, 10), d_x, **blocks)
    assert [matrix.shape for matrix in found] == [(d_x, d_x), (d_x, d_u), (d_y, d_x)]
    np.testing.assert_allclose(
        transfer_function(*found, CIRCLE), transfer_function(A, B, C, CIRCLE), rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(
        np.sort(np.linalg.eigvals(found[0])), np.sort(np.linalg.eigvals(A)), rtol=1e-7, atol=1e-8
    )


def test_ho_kalman_is_balanced(x64):
    A, B, C = ho_kalman(markov_parameters(*_system(), 8), 3)
    reached = sum(np.linalg.matrix_power(A, k) @ B @ B.T @ np.linalg.matrix_power(A, k).T for k in range(4))
    seen = sum(np.linalg.matrix_power(A, k).T @ C.T @ C @ np.linalg.matrix_power(A, k) for k in range(4))
    np.testing.assert_allclose(reached, seen, atol=1e-8)
    np.testing.assert_allclose(reached, np.diag(np.diag(reached)), atol=1e-8)


@pytest.mark.slow
def test_ho_kalman_of_lower_order_drops_a_weak_mode_and_moves_with_the_data(x64):
    A, B, C = np.diag([0.8, 0.5]), np.array([[1.0], [1e-4]]), np.array([[1.0, 1e-4]])
    markov = markov_parameters(A, B, C, 8)
    found = jax.jit(ho_kalman, static_argnums=1)(markov, 1)
    np.testing.assert_allclose(markov_parameters(*found, 8), markov, atol=1e-7)
    # G_j = g a^j: the realised pole follows a
    slope = jax.grad(lambda a: ho_kalman(2.0 * a ** jnp.arange(6.0).reshape(6, 1, 1), 1)[0][0, 0])(0.7)
    assert slope == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("markov", "order", "blocks", "message"),
    [
        (np.ones((4, 2)), 1, {}, "wanted .count, d_y, d_u."),
        (np.ones((4, 1, 1)), 1, {"rows": 3, "columns": 2}, "count >= rows . columns"),
        (np.ones((4, 1, 1)), 3, {}, "found order 3"),
        (np.ones((4, 1, 1)), 2, {}, "rank 1"),
        (np.full((4, 1, 1), np.inf), 1, {}, "non-finite"),
    ],
)
def test_ho_kalman_refuses(markov, order, blocks, message):
    with pytest.raises(ValueError, match=message):
        ho_kalman(markov, order, **blocks)


def test_systems_of_other_shapes_are_refused():
    A, B, C = _system()
    with pytest.raises(ValueError, match="found A of shape"):
        markov_parameters(A[:2], B, C, 3)
    with pytest.raises(ValueError, match="found count=0"):
        markov_parameters(A, B, C, 0)
    with pytest.raises(ValueError, match="found C of shape"):
        transfer_function(A, B, C.T, 1.0)
    with pytest.raises(ValueError, match="found B of shape"):
        controllability(A, B.T)
    with pytest.raises(ValueError, match="found C of shape"):
        observability(A, C[0])


def test_known_systems_keep_their_digits_in_float32():
    """Powers of a matrix far from normal, and a point close to a pole."""
    A, B, C = [[0.9, 1e4], [0.0, 0.5]], [[1.0], [1e-4]], [[1.0, -1e4]]
    with jax.enable_x64(True):
        wanted = [np.asarray(x) for x in (markov_parameters(A, B, C, 30), transfer_function(A, B, C, 0.9 + 1e-9))]
    found = markov_parameters(A, B, C, 30), transfer_function(A, B, C, 0.9 + 1e-9)
    assert found[0].dtype == jnp.float32 and found[1].dtype == jnp.complex64
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7)
    assert np.isnan(transfer_function([[0.5]], [[1.0]], [[1.0]], [0.5, 2.0])).tolist() == [[[True]], [[False]]]


def test_powers_beyond_the_range_are_refused_where_they_are_known():
    """They were NaN in the components that stay small, too: 0 times infinity."""
    A = np.diag([2.0, 0.5])
    assert markov_parameters(A, np.eye(2), np.eye(2), 120)[-1, 0, 0] == 2.0**119
    with pytest.raises(ValueError, match=r"markov_parameters: found C A\^j B beyond the range of float32"):
        markov_parameters(A, np.eye(2), np.eye(2), 200)
