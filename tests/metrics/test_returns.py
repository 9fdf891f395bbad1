"""Statistics of returns against their definitions in NumPy and SciPy, and against what rliable 1.2.0 gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from identax.metrics import (
    area_under_curve,
    best_average,
    exponential_average,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
    relative_scores,
    stratified_bootstrap,
)

KEY = jax.random.key(0)
A = np.array([[0.1, 0.9], [0.4, 1.2], [0.5, 0.7], [0.8, 0.3], [0.2, 1.0]])
B = np.array([[0.3, 0.5], [0.4, 0.6], [0.6, 0.9]])


def test_point_estimates_are_those_of_rliable(x64):
    np.testing.assert_allclose(interquartile_mean(A), 0.6, rtol=1e-10)
    np.testing.assert_allclose(optimality_gap(A), 0.41, rtol=1e-10)
    np.testing.assert_allclose(probability_of_improvement(A, B), 0.566667, rtol=1e-6)
    np.testing.assert_allclose(probability_of_improvement(A, B), 17 / 30, rtol=1e-10)


def test_intervals_are_those_of_rliable():
    low, high = stratified_bootstrap(KEY, interquartile_mean, A, num_draws=20_000)
    assert 0.36 < low < 0.39
    np.testing.assert_allclose(high, 0.82, atol=0.01)
    low, high = stratified_bootstrap(KEY, probability_of_improvement, A, B, num_draws=20_000)
    np.testing.assert_allclose([low, high], [0.3, 0.8], atol=0.04)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 41])
def test_interquartile_mean_is_scipys_trimmed_mean(size, x64):
    scores = np.random.default_rng(size).normal(size=(size, 3))
    np.testing.assert_allclose(interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25, axis=None), rtol=1e-10)


def test_probability_of_improvement_is_the_mann_whitney_statistic(x64):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, (7, 2)), rng.integers(0, 4, (5, 2))  # with ties
    expected = np.mean([scipy.stats.mannwhitneyu(x[:, t], y[:, t]).statistic / 35 for t in range(2)])
    np.testing.assert_allclose(probability_of_improvement(x, y), expected, rtol=1e-10)
    np.testing.assert_allclose(probability_of_improvement(y, x), 1 - expected, rtol=1e-10)


def test_what_is_not_a_number_is_not_trimmed_away():
    scores = A.copy()
    scores[0, 0] = np.nan
    assert np.isnan(interquartile_mean(scores))
    assert np.isnan(probability_of_improvement(scores, B))
    assert np.isnan(optimality_gap(scores))


def test_runs_are_drawn_in_every_task_apart():
    # With tasks drawn together the difference of both would be 0 in every draw.
    scores = np.arange(8.0)[:, None] * np.ones((1, 2))
    low, high = stratified_bootstrap(KEY, lambda s: s[:, 0].mean() - s[:, 1].mean(), scores)
    assert low < -1 < 1 < high
    spread = np.sqrt(2 * np.var(np.arange(8)) / 8)
    np.testing.assert_allclose(high, 1.96 * spread, rtol=0.1)


def test_an_interval_covers_as_often_as_it_says():
    draws = jax.random.normal(jax.random.key(1), (200, 30, 1))
    keys = jax.random.split(KEY, 200)
    low, high = jax.vmap(lambda key, x: stratified_bootstrap(key, jnp.mean, x, num_draws=200, level=0.9))(keys, draws).T
    covered = ((low < 0) & (high > 0)).mean()
    assert 0.8 < covered < 0.96  # 90 % with a standard error of 2 %, a little less for 30 runs


def test_an_interval_depends_on_neither_the_number_side_by_side_nor_on_jit():
    whole = stratified_bootstrap(KEY, interquartile_mean, A, num_draws=50, draws_at_once=50)
    parts = stratified_bootstrap(KEY, interquartile_mean, A, num_draws=50, draws_at_once=7)
    traced = jax.jit(lambda key, a: stratified_bootstrap(key, interquartile_mean, a, num_draws=50))(KEY, jnp.asarray(A))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    np.testing.assert_allclose(traced, whole, rtol=1e-6)


@pytest.mark.parametrize("span", [1, 3, 1000])
def test_exponential_average_is_the_recursion(span):
    values = np.random.default_rng(2).normal(size=(2, 60)).cumsum(axis=1)
    weight, expected = 2 / (span + 1), values.copy()
    for t in range(1, 60):
        expected[:, t] = weight * values[:, t] + (1 - weight) * expected[:, t - 1]
    with jax.enable_x64(True):
        np.testing.assert_allclose(exponential_average(values, span=span), expected, rtol=1e-12)
        np.testing.assert_allclose(best_average(values, span=span), expected.max(axis=1), rtol=1e-12)


def test_relative_scores_are_those_of_the_published_table():
    breakout, seaquest = [42.80, 46.41, 43.23, 52.04, 42.33], [2031.1, 1891.3, 1841.1, 1381.6, 2114.7]
    found = relative_scores(np.stack([breakout, seaquest], axis=1))
    np.testing.assert_allclose(found[:, 0], [0.822, 0.892, 0.831, 1, 0.813], atol=6e-4)
    np.testing.assert_allclose(found[:, 1], [0.960, 0.894, 0.871, 0.653, 1], atol=6e-4)


def test_area_is_numpys_over_the_width():
    steps = np.array([0, 10, 40, 50])
    values = np.random.default_rng(3).normal(size=(2, 4))
    np.testing.assert_allclose(area_under_curve(steps, values), np.trapezoid(values, steps) / 50, rtol=1e-5)
    np.testing.assert_allclose(area_under_curve(steps + 10**9, values), np.trapezoid(values, steps) / 50, rtol=1e-5)


def test_who_beats_whom_is_seen_behind_an_offset():
    """Differences that float32 does not hold: of scores of the host they are taken before the cast."""
    for offset in (0, 1e9):
        found = probability_of_improvement(np.array([1.0, 3.0]) + offset, np.array([2.0, 3.0]) + offset)
        np.testing.assert_allclose(found, (0 + 0 + 1 + 0.5) / 4)
    assert probability_of_improvement([2**24 + 1] * 3, [2**24] * 3) == 1
    assert np.isnan(probability_of_improvement([1.0, np.nan], [0.0]))
    np.testing.assert_allclose(probability_of_improvement([np.inf, -np.inf], [0.0]), 0.5)
    np.testing.assert_allclose(optimality_gap([2.0**24 + 1, 2.0**24 + 5], target=2.0**24 + 3), 1)
    np.testing.assert_allclose(jax.jit(lambda x: optimality_gap(x, target=3.0))(jnp.array([1.0, 4.0])), 1)
    np.testing.assert_allclose(area_under_curve([False, True], [1, 2]), 1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean(np.ones((2, 2, 2))), r"shape \(2, 2, 2\), wanted \[runs, tasks\]"),
        (lambda: optimality_gap(A, target=np.nan), "target=nan, wanted a finite number"),
        (lambda: optimality_gap([]), r"shape \(0,\), wanted \[runs, tasks\]"),
        (lambda: probability_of_improvement(A, B[:, :1]), "found 2 and 1 tasks"),
        (lambda: stratified_bootstrap(KEY, jnp.mean), "found no scores"),
        (lambda: stratified_bootstrap(0, jnp.mean, A), "found key=0, wanted one key of jax.random.key"),
        (lambda: stratified_bootstrap(KEY, jnp.mean, A, level=95), "level=95, wanted a number from 0 to 1"),
        (lambda: stratified_bootstrap(KEY, jnp.mean, A, level=1), "level=1, wanted a share"),
        (lambda: stratified_bootstrap(KEY, jnp.mean, A, num_draws=0), "num_draws=0, wanted at least 1"),
        (lambda: exponential_average(A, span=0), "span"),
        (lambda: exponential_average(np.ones((3, 0))), r"shape \(3, 0\)"),
        (lambda: relative_scores(-A), "wanted positive finite ones"),
        (lambda: area_under_curve([1, 1, 2], [1, 2, 3]), "do not increase"),
        (lambda: relative_scores([[1.0, np.inf]]), "wanted positive finite ones"),
        (lambda: relative_scores([1.0, 2.0]), r"found scores of shape \(2,\), wanted \[methods, tasks\]"),
        (lambda: area_under_curve([0, np.inf], [1, 2]), "do not increase"),
        (lambda: area_under_curve([1], [1]), r"with T >= 2"),
    ],
)
def test_bad_input_is_refused(call, message, untyped):
    with pytest.raises(ValueError, match=message):
        call()
