"""Tests against chance: SciPy's t-test, the corrected one on splits that share samples, degenerate scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.metrics import bonferroni, one_sample_t_test, standard_error

SCORES = 0.5 + 0.1 * np.random.default_rng(0).normal(size=(6, 10)) + np.linspace(-0.2, 0.4, 6)[:, None]


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_agrees_with_scipy(x64, alternative):
    t, p = jax.jit(lambda x: one_sample_t_test(x, 0.5, alternative=alternative))(SCORES)
    wanted = stats.ttest_1samp(SCORES, 0.5, axis=1, alternative=alternative)
    np.testing.assert_allclose(t, wanted.statistic, rtol=1e-10)
    np.testing.assert_allclose(p, wanted.pvalue, rtol=1e-8)
    assert p.min() < 1e-4 and p.max() > 0.1


def test_standard_errors(x64):
    np.testing.assert_allclose(standard_error(SCORES), stats.sem(SCORES, axis=1), rtol=1e-12)
    np.testing.assert_allclose(standard_error(SCORES, ddof=0), SCORES.std(axis=1) / np.sqrt(10), rtol=1e-12)
    wanted = SCORES.std(axis=1, ddof=1) * np.sqrt(1 / 10 + 3 / 7)
    np.testing.assert_allclose(standard_error(SCORES, overlap=3 / 7), wanted, rtol=1e-12)
    t, _ = one_sample_t_test(SCORES, 0.5, overlap=3 / 7)
    np.testing.assert_allclose(t, (SCORES.mean(axis=1) - 0.5) / wanted, rtol=1e-12)


def test_splits_that_share_samples_reject_a_true_hypothesis_too_often_unless_corrected(getkey):
    """Test parts are means of 30 of 100 coin tosses: the hypothesis holds, and the splits agree with one another."""
    tosses = jax.random.bernoulli(getkey(), 0.5, (400, 100)).astype(jnp.float32)

    def scores(key, tosses):
        order = jax.vmap(lambda one: jax.random.permutation(one, 100))(jax.random.split(key, 10))
        return tosses[order[:, :30]].mean(axis=1)

    found = jax.vmap(scores)(jax.random.split(getkey(), 400), tosses)
    plain, corrected = (np.asarray(one_sample_t_test(found, 0.5, overlap=o)[1]) < 0.05 for o in (0.0, 3 / 7))
    assert plain.mean() > 0.2
    assert corrected.mean() < 0.05 + 6 * np.sqrt(0.05 * 0.95 / 400)


def test_equal_scores_are_certain():
    scores = jnp.array([[0.7] * 5, [0.5] * 5, [0.1] * 5])
    np.testing.assert_array_equal(one_sample_t_test(scores, 0.5)[0], [np.inf, 0, -np.inf])
    np.testing.assert_array_equal(one_sample_t_test(scores, 0.5)[1], [0, 1, 0])
    np.testing.assert_array_equal(one_sample_t_test(scores, 0.5, alternative="greater")[1], [0, 0.5, 1])
    np.testing.assert_array_equal(standard_error(scores), 0)


def test_bonferroni():
    np.testing.assert_allclose(bonferroni(np.array([0.01, 0.2, 0.6])), [0.03, 0.6, 1.0])
    np.testing.assert_allclose(bonferroni(np.array([0.01]), 85), [0.85])
    with pytest.raises(ValueError, match="num_tests=0"):
        bonferroni(np.array([0.01]), 0)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: one_sample_t_test(np.ones((3, 1)), 0.5), "at least 2 along the last axis"),
        (lambda: one_sample_t_test(np.ones(3), 0.5, alternative="bigger"), "did you mean 'greater'"),
        (lambda: one_sample_t_test(np.ones(3), 0.5, overlap=-1), "overlap=-1"),
        (lambda: standard_error(np.ones(1)), "at least 2"),
        (lambda: standard_error(np.array(1.0), ddof=0), r"shape \(\)"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
