"""Paired differences: intervals against SciPy, rows by seed."""

import numpy as np
import pytest
from scipy import stats

from experiments.wmm.config import TrainingConfig
from experiments.wmm.paired import measured
from identax.experiment import Arm
from identax.paired import finite_mean, median_interval, paired_interval
from identax.run import Results
from identax.study import Trials


def test_intervals_are_those_of_the_paired_t_test():
    ours, theirs = np.random.default_rng(0).normal([[0.4], [0.0]], size=(2, 9))
    found = paired_interval(ours - theirs)
    wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    np.testing.assert_allclose(found[:3], [(ours - theirs).mean(), *wanted], rtol=1e-12)
    assert found.num == 9
    assert paired_interval(ours - theirs, 0.5).high < found.high


def test_intervals_of_few_equal_and_failed_values():
    assert paired_interval([0.0, 0.0, 0.0]) == (0.0, 0.0, 0.0, 3)
    assert paired_interval([1.0, np.nan, 3.0]).num == 2 and paired_interval([1.0, np.nan, 3.0]).mean == 2
    assert np.isnan(paired_interval([2.0]).low) and np.isnan(paired_interval([]).mean)
    for wrong in (np.zeros((2, 2)), np.float64(1)):
        with pytest.raises(ValueError, match="paired_interval: found"):
            paired_interval(wrong)


def test_means_leave_out_what_is_not_finite():
    values = [[1.0, np.nan, 4.0], [np.inf, np.nan, -np.inf], [0.0, 0.0, 1.5]]
    np.testing.assert_array_equal(finite_mean(values), [2.5, np.nan, 0.5])
    assert np.isnan(finite_mean(np.zeros((2, 0)))).all()
    for wrong in ([1.0, 2.0], [["a"]], np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="finite_mean: found"):
            finite_mean(wrong)


@pytest.mark.parametrize("interval", [paired_interval, median_interval])
def test_levels_and_differences_that_are_none_are_refused(interval, untyped):
    for level in (1.0, 0, -1, np.nan, None, "half", [0.9]):
        with pytest.raises(ValueError, match="level"):
            interval([1.0, 2.0], level)
    for wrong in (["a", "b"], [None, 1.0], {"a": 1}, [[1.0], [1.0, 2.0]], [1j, 2j]):
        with pytest.raises(ValueError, match="differences"):
            interval(wrong)


def test_the_medians_interval_holds_it_as_often_as_promised():
    assert median_interval([3.0, 1, 2, 4, 5, 90, np.nan, 7, 8]) == (4.5, 1, 90, 8)
    assert np.isnan(median_interval(range(5)).low) and median_interval(range(6))[:3] == (2.5, 0, 5)
    # The second smallest of nine: P(Binomial(9, 1/2) < 2) = 10/512.
    assert median_interval(range(9))[:3] == (4, 1, 7) and median_interval(range(9), 0.99)[:3] == (4, 0, 8)
    drawn = np.random.default_rng(0).exponential(size=(2000, 12))
    ends = np.array([median_interval(one)[1:3] for one in drawn])
    held = np.mean((ends[:, 0] <= np.log(2)) & (np.log(2) <= ends[:, 1]))
    wanted = 1 - 2 * stats.binom.cdf(2, 12, 0.5)
    assert abs(held - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 2000)
    with pytest.raises(ValueError, match="median_interval: found"):
        median_interval(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="level"):
        median_interval([1.0, 2.0], 0.0)


def result(trials, values, **fields):
    return Results(
        trials=trials, num_steps=20, train_steps=np.array([]), train={}, evaluation_steps=np.array([10, 20]),
        evaluation={"score": np.asarray(values, float)}, failed_at=np.zeros(len(trials), int), state=None, seconds={},
        **fields,
    )  # fmt: skip


def test_rows_are_paired_by_seed_within_every_cell():
    config = TrainingConfig(num_seeds=3)
    arms = [Arm("baseline", config), Arm("shuffle", config, {"p": (0.1, 0.2), "c": (0.3,)})]
    grid = Trials.grid(3, p=[0.1, 0.2], c=[0.3])
    order = np.array([4, 0, 2, 5, 1, 3])  # whatever the order of trials
    ours = np.stack([np.zeros(6), 10.0 * np.arange(6) + 1], axis=1)[order]
    theirs = [[7.0, 1.0], [7.0, 2.0], [7.0, 4.0]]
    best = {"best_step": np.array([10, 20, 10]), "stopped_at": np.array([0, 15, 0])}
    results = {"baseline": result(Trials.grid(3, p=[0.0]), theirs, **best), "shuffle": result(grid[order], ours)}
    rows = measured(arms, results, ("score", "not there"))
    np.testing.assert_array_equal(rows["baseline: score"], [1, 2, 4])
    np.testing.assert_array_equal(rows["baseline: score, best validation"], [7, 2, 7])
    np.testing.assert_array_equal(rows["baseline: steps"], [20, 15, 20])
    np.testing.assert_array_equal(np.sort(rows["shuffle, p = 0.1, c = 0.3: score - baseline"]), np.sort([0, 9, 17]))
    np.testing.assert_array_equal(np.sort(rows["shuffle, p = 0.2, c = 0.3: score - baseline"]), np.sort([30, 39, 47]))
    ends = [rows[f"shuffle, p = 0.1, c = 0.3: score - baseline, 95 % {end}"][0] for end in ("low", "high")]
    np.testing.assert_allclose(ends, paired_interval([0, 9, 17])[1:3])
    assert np.isnan(rows["shuffle, p = 0.1, c = 0.3: score - baseline, median, 95 % low"][0])  # of three
    assert "shuffle, p = 0.1, c = 0.3: score, best validation" not in rows and not any(
        "not there" in row for row in rows
    )
    assert not any("- baseline" in row for row in measured(arms, {"shuffle": results["shuffle"]}, ("score",)))
