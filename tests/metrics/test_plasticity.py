"""Weight entropy and signs of lost plasticity against NumPy's histogram and SVD, closed forms and cases by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.metrics import (
    cumulative_entropy,
    dormant_share,
    effective_rank,
    numerical_rank,
    stable_rank,
    weight_distance,
    weight_entropy,
    weight_magnitude,
    weight_norm,
)


def published_entropy(weights):
    """As the authors' code computes it, in NumPy."""
    counts, _ = np.histogram(weights, bins=max(5, weights.size // 20))
    share = counts / counts.sum()
    share = share[share > 1e-5]
    return -(share * np.log2(share)).sum()


def test_entropy_is_that_of_numpys_histogram(rng_weights):
    found = [weight_entropy(weights) for weights in rng_weights]
    wanted = [published_entropy(weights) for weights in rng_weights]
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(
        cumulative_entropy({"a": rng_weights[0], "b": list(rng_weights[1:])}), sum(wanted), atol=3e-3
    )


@pytest.fixture(scope="module")
def rng_weights():
    rng = np.random.default_rng(0)
    return [rng.uniform(-0.1, 0.1, (40, 50)), rng.normal(size=(3, 7)), np.repeat(rng.normal(size=7), 9)]


def test_special_cases_of_entropy():
    assert weight_entropy(np.full((3, 4), 7.0)) == 0 and weight_entropy([2.0]) == 0
    np.testing.assert_allclose(weight_entropy(np.arange(400.0).reshape(20, 20)), np.log2(20), atol=1e-5)
    np.testing.assert_allclose(weight_entropy([0.0, 1.0]), 1.0, atol=1e-6)  # two of five bins
    np.testing.assert_allclose(weight_entropy([0.0, 1.0], correct_bias=True), 1 + 1 / (4 * np.log(2)), atol=1e-6)
    # One entry of 120,000 is a share of 8e-6, which is left out; the correction is of the bins, the lone one too.
    weights = jnp.zeros(120_000).at[0].set(1.0)
    np.testing.assert_allclose(weight_entropy(weights), 0.0, atol=2e-5)
    assert jnp.isnan(weight_entropy(jnp.array([0.0, jnp.nan]))) and jnp.isnan(weight_entropy(np.array([0.0, np.inf])))


def test_the_correction_takes_the_bias_off():
    """2,000 uniform weights in 100 bins: (B - 1) / (2 n ln 2) = .0357 bit are missing, 7 times the scatter of one."""
    weights = jax.random.uniform(jax.random.key(0), (300, 40, 50))
    plain, corrected = (
        jax.lax.map(lambda w, c=correct: weight_entropy(w, correct_bias=c), weights) - np.log2(100)
        for correct in (False, True)
    )
    error = float(jnp.std(corrected)) / 300**0.5
    np.testing.assert_allclose(plain.mean(), -99 / (4000 * np.log(2)), atol=3 * error + 3e-4)  # of the next order
    np.testing.assert_allclose(corrected.mean(), 0.0, atol=3 * error + 3e-4)


def test_dormant_units_by_hand():
    silent, weak = jnp.zeros((6, 1)), jnp.full((6, 1), 0.1)
    layer = jnp.concatenate([silent, weak, jnp.ones((6, 1)), -jnp.ones((6, 1))], axis=1)  # scores 0, .19, 1.9, 1.9
    other = jnp.ones((2, 3, 2))
    assert dormant_share(layer) == 0.25 and dormant_share(layer, threshold=0.2) == 0.5
    np.testing.assert_allclose(dormant_share([layer, other]), 0.125)
    np.testing.assert_allclose(dormant_share({"a": layer, "b": other}, pooled=True), 1 / 6, rtol=1e-6)
    assert dormant_share(jnp.zeros((4, 3))) == 1
    # A unit that fires once, however weakly, is not dead, and a position of an image counts.
    assert dormant_share(jnp.zeros((2, 2, 2, 1)).at[1, 0, 1, 0].set(1e-3)) == 0
    assert jnp.isnan(dormant_share(layer.at[0, 0].set(jnp.nan)))


@pytest.mark.parametrize("shape", [(5, 4), (4, 5)])
def test_ranks_are_those_of_numpys_singular_values(shape):
    features = np.random.default_rng(1).normal(size=shape) * np.logspace(0, -3, shape[1]) + 0.1
    values = np.linalg.svd(features, compute_uv=False)
    share = values / values.sum()
    np.testing.assert_allclose(effective_rank(features), np.exp(-(share * np.log(share)).sum()), rtol=1e-5)
    np.testing.assert_allclose(stable_rank(features), (values**2).sum() / values[0] ** 2, rtol=1e-5)
    for power in (1, 2):
        shares = np.cumsum(values**power) / (values**power).sum()
        assert numerical_rank(features, power=power) == 1 + np.argmax(shares >= 0.99)


def test_ranks_of_special_matrices():
    ranks = (effective_rank, numerical_rank, stable_rank)
    assert [float(rank(np.zeros((5, 4)))) for rank in ranks] == [0, 0, 0]
    np.testing.assert_allclose([rank(1e30 * np.eye(5, 4)) for rank in ranks], 4, rtol=1e-5)
    outer = jnp.outer(jnp.arange(1.0, 6), jnp.arange(1.0, 5))
    np.testing.assert_allclose([rank(outer) for rank in ranks], 1, rtol=1e-4)
    assert jnp.isnan(jnp.stack([rank(outer.at[0, 0].set(jnp.inf)) for rank in ranks])).all()
    np.testing.assert_allclose(jax.vmap(effective_rank)(jnp.stack([outer, jnp.eye(5, 4)])), [1, 4], rtol=1e-4)


def test_sizes_of_weights():
    params = {"kernel": np.array([[3.0, -4.0]]), "bias": np.array([5.0, 0.0])}
    assert weight_magnitude(params) == 3 and weight_magnitude(params, matrices_only=True) == 3.5
    np.testing.assert_allclose(weight_norm(params), 50**0.5, rtol=1e-6)
    np.testing.assert_allclose(weight_norm([jnp.full(4, 1e30)]), 2e30, rtol=1e-6)
    moved = {"kernel": np.array([[3.0, -4.0]]), "bias": np.array([5.0, 5.0])}
    np.testing.assert_allclose(weight_distance(moved, params), 0.5**0.5, rtol=1e-6)
    assert weight_distance(params, params) == 0 and jnp.isinf(weight_distance([1.0], [0.0]))


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: weight_entropy(np.ones((0, 3))), r"weights of shape \(0, 3\), wanted entries"),
        (lambda: weight_entropy(1j), "weights of type complex128, wanted real"),
        (lambda: cumulative_entropy({}), "found no arrays in params"),
        (lambda: cumulative_entropy({"a": {"b": np.ones((2, 0))}}), r"found params.a.b of shape \(2, 0\)"),
        (lambda: dormant_share(1.0), "activations of shape .*at least 1 axes"),
        (lambda: dormant_share(np.ones((2, 2)), threshold=-0.1), "threshold=-0.1, wanted a non-negative"),
        (lambda: effective_rank(np.ones(3)), r"features of shape \(3,\)"),
        (lambda: stable_rank(np.ones((1, 3))), r"features of shape \(1, 3\), wanted .* at least 2"),
        (lambda: numerical_rank(np.eye(2), power=3), "power=3, wanted 1 or 2"),
        (lambda: numerical_rank(np.eye(2), share=1.5), "share=1.5, wanted a number from 0 to 1"),
        (lambda: weight_magnitude([np.ones(3)], matrices_only=True), "wanted a matrix among them"),
        (lambda: weight_distance([np.ones(3)], [np.ones(2)]), r"params of shapes \[\(3,\)\] and initial of"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
