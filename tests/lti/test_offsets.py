"""Observations with a large offset, and arrays that are not floats: host arrays keep their digits."""

import jax.numpy as jnp
import numpy as np
import pytest

from identax.lti import (
    identify_lti,
    instrumental_regression,
    kalman_loglik,
    pair_moments,
    published_loglik,
    wls_unmixing,
)
from identax.lti._arrange import arrange

E, T, D = 2, 200, 2
OFFSET = 1.7e9


def _trajectories():
    rng = np.random.default_rng(0)
    y = np.zeros((E, T, D))
    for t in range(1, T):
        y[:, t] = y[:, t - 1] @ np.array([[0.8, 0.1], [-0.2, 0.7]]) + rng.normal(size=(E, D))
    return y


def test_moments_and_instrumental_regression_do_not_see_it():
    y = _trajectories()
    pairs = np.stack([y[:, :-1], y[:, 1:]], axis=2)
    moments, moved = pair_moments(pairs), pair_moments(pairs + OFFSET)
    assert moved.covariance.dtype == jnp.float32
    np.testing.assert_allclose(moved.covariance, moments.covariance, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pair_moments(jnp.asarray(pairs)).covariance, moments.covariance, rtol=1e-5, atol=1e-6)
    found = instrumental_regression(y + OFFSET)
    np.testing.assert_allclose(found, instrumental_regression(jnp.asarray(y, jnp.float32)), atol=1e-4)


def test_a_loss_of_digits_is_refused_where_the_offset_matters():
    y = _trajectories()[0] + OFFSET
    law = {"control_mean": np.zeros(D), "control_variance": np.ones(D), "observation_covariance": 1.0}
    with pytest.raises(ValueError, match=r"kalman_loglik: found observations around an offset of 1.7e\+09"):
        kalman_loglik(y, np.eye(D), np.eye(D), np.eye(D), **law)
    pairs, means, variances = np.stack([y[:-1], y[1:]], axis=1), np.zeros(D), np.ones(D)
    with pytest.raises(ValueError, match="published_loglik: found pairs around an offset"):
        published_loglik(np.zeros((D, 2 * D)), pairs, means, variances)
    with pytest.raises(ValueError, match="wls_unmixing: found pairs of type complex128"):
        wls_unmixing(pairs + 0j, means, variances)


def test_integers_are_floats_and_complex_numbers_are_refused():
    """Whole numbers, bytes and labels of any width; an imaginary part was dropped without a word."""
    rng = np.random.default_rng(1)
    pairs, unmixing = rng.integers(0, 200, (9, 2, D)).astype(np.uint8), rng.integers(-3, 4, (D, 2 * D))
    wanted = published_loglik(unmixing.astype(float), pairs.astype(float), np.zeros(D), np.array([2.0, 3.0]))
    np.testing.assert_array_equal(published_loglik(unmixing, pairs.tolist(), [0, 0], [2, 3]), wanted)
    np.testing.assert_array_equal(
        wls_unmixing(pairs, [0, 1], [2, 3]),
        wls_unmixing(pairs.astype(float), np.array([0.0, 1.0]), np.array([2.0, 3.0])),
    )
    y, labels, variances = rng.normal(size=(36, D)), np.repeat(np.arange(3), 12), np.array([[1, 1], [4, 1], [1, 5]])
    arranged = arrange("identify_lti", y, labels.astype(np.uint64), variances, None, 1)
    assert [label for label, _, _ in arranged.runs] == [0, 1, 2]
    law = {"control_mean": np.zeros(D), "control_variance": np.ones(D), "observation_covariance": 1 + 0j}
    for call, name in (
        (lambda: identify_lti(y + 0j, labels, variances), "observations"),
        (lambda: identify_lti(y, labels, variances + 0j), "variances"),
        (lambda: kalman_loglik(y, np.eye(D), np.eye(D), np.eye(D), **law), "observation_covariance"),
        (lambda: kalman_loglik(y, np.eye(D) + 0j, np.eye(D), np.eye(D), **law), "A"),
    ):
        with pytest.raises(ValueError, match=f"found {name} of type complex128, wanted real numbers"):
            call()
