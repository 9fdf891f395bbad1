"""NOTEARS against least squares in closed form, its dependence on units and threshold, and what it refuses."""

import jax
import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from identax.causal import notears

CHAIN = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, -1.5], [0.0, 0.0, 0.0]])


def with_moments(covariance):
    """d rows whose second moments X^T X / d are the given ones, exactly."""
    return np.sqrt(len(covariance)) * np.linalg.cholesky(covariance).T


def of_model(weights):
    """Second moments of x = x W + noise of variance 1."""
    mixing = np.linalg.inv(np.eye(len(weights)) - weights)
    return mixing.T @ mixing


def test_a_chain_of_equal_noises_is_found_with_its_weights():
    found = notears(with_moments(of_model(CHAIN)))
    np.testing.assert_array_equal(found.adjacency, CHAIN != 0)
    np.testing.assert_allclose(found.weights, CHAIN, atol=2e-2)
    assert found.converged and 0 <= found.acyclicity <= 1e-8


@pytest.mark.parametrize("l1", [0.0, 0.1])
@pytest.mark.parametrize("slope", [0.8, -3.0])
def test_two_variables_have_the_slope_of_least_squares_shrunken_by_the_penalty(slope, l1):
    covariance = of_model(np.array([[0.0, slope], [0.0, 0.0]]))
    wanted = np.sign(slope) * (abs(covariance[0, 1]) - l1) / covariance[0, 0]
    found = notears(with_moments(covariance), l1=l1)
    np.testing.assert_array_equal(found.adjacency, [[False, True], [False, False]])
    np.testing.assert_allclose(found.weights[0, 1], wanted, rtol=5e-3)


def test_units_turn_the_edge_and_standardised_columns_do_not_know_them():
    x = with_moments(of_model(np.array([[0.0, 2.0], [0.0, 0.0]])))
    small = x * [1.0, 0.01]
    assert notears(x).adjacency.tolist() == [[False, True], [False, False]]
    assert notears(small).adjacency.tolist() == [[False, False], [True, False]]
    rng = np.random.default_rng(0)
    noisy = rng.laplace(size=(300, 1)) @ np.array([[1.0, 2.0]]) + rng.laplace(size=(300, 2))
    one, other = (notears(noisy * scale + 7, standardise=True, threshold=0).weights for scale in ([1, 1], [3, 0.01]))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_without_a_threshold_the_graph_is_complete_both_ways():
    x = np.random.default_rng(1).integers(0, 2, size=(400, 3))
    found = notears(x, threshold=0)
    np.testing.assert_array_equal(found.adjacency, ~np.eye(3, dtype=bool))
    assert np.diagonal(found.weights).tolist() == [0, 0, 0]


def test_wide_ranges_end_without_warnings():
    x = np.random.default_rng(2).normal(size=(50, 2)) * [1e-4, 1e5]
    assert np.isfinite(notears(x + 1e3).weights).all()


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (np.ones(4), {}, r"found x of shape \(4,\), wanted \[n, d\]"),
        (np.ones((1, 3)), {}, "n >= 2"),
        (np.ones((9, 1)), {}, "d >= 2"),
        ([[1.0, 2.0], [np.nan, 1.0]], {}, "finite"),
        ([["a", "b"], ["c", "d"]], {}, "real numbers"),
        (np.eye(3), {"threshold": -1}, "threshold"),
        (np.eye(3), {"l1": np.inf}, "l1"),
        (np.eye(3), {"tolerance": 0}, "tolerance"),
        (np.eye(3), {"max_iterations": 0}, "max_iterations"),
        (np.ones((5, 2)), {"standardise": True}, "constant column"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, options, match):
    with pytest.raises(ValueError, match=f"notears: .*{match}|{match}"):
        notears(x, **options)


def test_blas_has_one_thread_within_and_as_many_as_before_afterwards(monkeypatch):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    within, real = [], scipy.linalg.expm
    monkeypatch.setattr(scipy.linalg, "expm", lambda x: (within.append(threads()) if not within else None, real(x))[1])
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        notears(np.random.default_rng(0).normal(size=(50, 2)))
        assert within == [{1}] and threads() == before


def test_it_is_no_function_for_compiled_programs():
    with pytest.raises(ValueError, match="runs on the host"):
        jax.jit(lambda x: notears(x).weights)(np.eye(3))
