"""MCC against SciPy, its invariances with negative controls, and hostile inputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import pearsonr, spearmanr

from identax.metrics import mcc, precision_recovery, rank_matched_mcc
from identax.metrics._matching import average_ranks, best_assignment

N = 200
_mcc = jax.jit(mcc, static_argnames=("method", "return_assignment"))
_recovery = jax.jit(precision_recovery)
_rank_matched = jax.jit(rank_matched_mcc)


def _reference(z, h, method):
    corr = {"pearson": pearsonr, "spearman": spearmanr}[method]
    table = np.abs([[corr(z[:, i], h[:, j]).statistic for j in range(h.shape[1])] for i in range(z.shape[1])])
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].mean(), rows, columns


def _mixed(seed, num_latents, num_estimates):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, num_latents)) * 3 + 10
    h = np.exp(0.1 * z @ rng.normal(size=(num_latents, num_estimates))) + rng.normal(size=(N, num_estimates))
    return z, h


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("dims", [(5, 5), (3, 4), (4, 3)])
def test_agrees_with_scipy(x64, dims, method):
    for seed in range(3):
        z, h = _mixed(seed, *dims)
        h = np.round(h, 1)  # ties
        want, rows, columns = _reference(z, h, method)
        score, assignment = _mcc(jnp.asarray(z), jnp.asarray(h), method=method, return_assignment=True)
        np.testing.assert_allclose(score, want, atol=1e-9)
        expected = np.full(dims[0], -1)
        expected[rows] = columns
        np.testing.assert_array_equal(assignment, expected)


def test_assignment_is_optimal_under_vmap(x64):
    scores = jnp.asarray(np.random.default_rng(0).uniform(size=(40, 5, 5)))
    found = jax.jit(jax.vmap(best_assignment))(scores)
    best = [
        max(sum(s[i, p[i]] for i in range(5)) for p in itertools.permutations(range(5))) for s in np.asarray(scores)
    ]
    np.testing.assert_allclose(np.take_along_axis(scores, found[:, :, None], 2).sum((1, 2)), best, rtol=1e-12)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_invariances_and_negative_controls(method):
    z, _ = _mixed(0, 4, 4)
    z = jnp.asarray(z, jnp.float32)
    function = jax.jit(lambda h: mcc(z, h, method=method))
    permuted = z[:, jnp.array([2, 0, 3, 1])] * jnp.array([[-1.0, 1e3, 1e-3, 5.0]]) + 1
    np.testing.assert_allclose(function(permuted), 1.0, atol=1e-5)
    monotone = jnp.exp(z - 10)
    assert (abs(function(monotone) - 1) < 1e-6) == (method == "spearman")
    rotation = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0], jnp.float32)
    assert function(z @ rotation) < 0.95


def test_ranks_share_ties():
    x = jnp.array([3.0, 1.0, 3.0, 2.0, 3.0])
    np.testing.assert_array_equal(average_ranks(x), [4.0, 1.0, 4.0, 2.0, 4.0])


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_constant_dims_count_zero_and_a_broken_trial_stays_alone(method):
    z, _ = _mixed(0, 3, 3)
    half = z.copy()
    half[:, 1] = 0.1
    # Constant up to the last bit, which carries the sign of the latent: no recovery, but rounding.
    step = np.nextafter(np.float32(0.7), np.float32(1)) - np.float32(0.7)
    collapsed = np.float32(0.7) + step * np.sign(z - z.mean(0)) * (method == "pearson")
    trials = jnp.asarray(np.stack([z, half, collapsed, np.full_like(z, np.nan)]), jnp.float32)
    got = jax.jit(jax.vmap(lambda h: mcc(jnp.asarray(z, jnp.float32), h, method=method)))(trials)
    np.testing.assert_allclose(got[:3], [1.0, 2 / 3, 0.0], atol=0.08)
    assert got[2] == 0.0
    assert np.isnan(got[3])


def test_rank_matched_mcc_pairs_by_precision_only(x64):
    z, _ = _mixed(0, 4, 4)
    z, true = jnp.asarray(z), jnp.array([5.0, 11.0, 18.0, 25.0])
    order = np.array([2, 0, 3, 1])
    estimated = jnp.asarray(np.array([6.0, 10.0, 17.0, 26.0])[order])
    matched = _rank_matched(z, -z[:, order], estimated, true)
    np.testing.assert_allclose(matched, 1.0, atol=1e-12)
    # One more, unused estimate of small precision is left out.
    wide = jnp.concatenate([jnp.ones((N, 1)), -z[:, order]], axis=1)
    np.testing.assert_allclose(_rank_matched(z, wide, jnp.append(0.1, estimated), true), 1.0, atol=1e-12)
    # Negative control: precisions on the wrong dims.
    assert _rank_matched(z, -z[:, order], estimated[::-1], true) < 0.5
    np.testing.assert_allclose(_mcc(z, -z[:, order]), 1.0, atol=1e-12)


def test_precision_recovery_sorted_and_matched():
    true = jnp.array([25.0, 5.0, 10.0])
    estimated = jnp.array([11.0, 24.0, 5.0])  # of latents 2, 0, 1
    found = _recovery(estimated, true, assignment=jnp.array([1, 2, 0]))
    np.testing.assert_allclose(found["max_error"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(found["mean_error"], (0.04 + 0.0 + 0.1) / 3, rtol=1e-5)
    np.testing.assert_allclose(found["matched_max_error"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(found["rank_alignment"], 1.0, rtol=1e-5)
    wrong = _recovery(estimated, true, assignment=jnp.array([2, 1, 0]))
    np.testing.assert_allclose(wrong["max_error"], 0.1, rtol=1e-5)
    assert wrong["matched_max_error"] > 3 and wrong["rank_alignment"] < 0
    assert set(precision_recovery(estimated, true)) == {"max_error", "mean_error"}


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda z: mcc(z, z[:3]), "one number of samples"),
        (lambda z: mcc(z[0], z[0]), r"\[samples, dims\]"),
        (lambda z: mcc(z, z, method="kendall"), "method='kendall'"),
        (lambda z: rank_matched_mcc(z, z, z[0, :2], z[0]), "at least as many"),
        (lambda z: precision_recovery(z[0], z[0], assignment=jnp.arange(2)), "assignment of shape"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(jnp.ones((N, 3)))
