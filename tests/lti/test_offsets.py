"""Observations with a large offset, and arrays that are not floats: host arrays keep their digits."""

import jax.numpy as jnp
import numpy as np
import pytest

from identax.lti import instrumental_regression, kalman_loglik, pair_moments, published_loglik, wls_unmixing

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
