"""Windows of series, and the sine series whose published variant mixes test targets by another matrix."""

import math

import numpy as np
import pytest

from identax.data import sine_forecasts, sine_mixings, sine_series, validation_windows, windows


@pytest.fixture(scope="module")
def published():
    return {mixing: sine_forecasts(mixing=mixing) for mixing in ("none", "shared", "per_set")}


def test_one_point_by_pythons_mathematics():
    series = sine_series(7008)
    t = -7008 * math.pi / 100 + 5000 * (2 * 7008 * math.pi / 100) / 7007
    wanted = (
        3 * math.sin(t) + math.cos(2 * t) + 1.5 * math.cos(4 * t) + math.log(t),
        math.cos(t) + 2 + math.cos(math.exp(math.floor(t / 10) - 5)),
        math.sin(t * math.cos(t)) - 2 * math.sin(5 * (t - 2)),
    )
    assert series.dtype == np.float64
    np.testing.assert_allclose(series[5000], wanted, rtol=1e-9)


def test_shapes_statistics_and_the_repeated_value(published):
    train, test = published["none"]
    assert train.inputs.shape == (60_000, 50, 3) and train.inputs.dtype == np.float32
    assert test.inputs.shape == (10_000, 50, 3) and test.targets.shape == (10_000, 3)
    series = sine_series(70_100)
    np.testing.assert_allclose(series[:60_050].mean(axis=0), [6.555, 2.625, -0.004], atol=6e-4)
    np.testing.assert_allclose(series[:60_050].std(axis=0), [2.674, 0.955, 1.574], atol=6e-4)
    np.testing.assert_allclose(np.square(test.targets - test.inputs[:, -1]).mean(), 0.429, atol=6e-4)
    np.testing.assert_array_equal(train.inputs[-1, -1], series[60_048].astype(np.float32))
    np.testing.assert_array_equal(train.targets[-1], series[60_049].astype(np.float32))
    np.testing.assert_array_equal(test.inputs[0, 0], series[60_050].astype(np.float32))


def test_a_perfect_predictor_errs_by_the_distance_of_the_two_mixings(published):
    """The published "sin-noise" errors are of a predictor that knows the training mixture exactly, or worse."""
    first, second = sine_mixings()
    np.testing.assert_allclose(first[0], [1.417022, 0.720324, 0.000114], atol=1e-6)
    np.testing.assert_allclose(second[2], [0.670468, 0.417305, 1.558690], atol=1e-6)
    clean, test = published["none"][1].targets.astype(float), published["per_set"][1].targets
    error = clean @ first - test
    np.testing.assert_allclose(np.square(error).sum(axis=1).mean(), 31.11, atol=0.005)
    np.testing.assert_allclose(np.abs(error).sum(axis=1).mean(), 6.97, atol=0.005)
    # It is tr(D^T C D), D the difference of the matrices and C the targets' second moment: nothing of the predictor.
    difference, moment = first - second, clean.T @ clean / len(clean)
    np.testing.assert_allclose(np.trace(difference.T @ moment @ difference), 31.11, atol=0.005)
    shared_train, shared_test = published["shared"]
    np.testing.assert_allclose(shared_test.targets, clean @ first, atol=1e-4)
    np.testing.assert_array_equal(shared_train.targets, published["per_set"][0].targets)
    np.testing.assert_array_equal(shared_test.inputs, published["none"][1].inputs)


def test_windows_of_several_series_stay_within_each():
    found = windows([np.arange(4), np.arange(10, 12), np.arange(20, 23)], 2)
    np.testing.assert_array_equal(found.inputs, [[0, 1], [1, 2], [20, 21]])
    np.testing.assert_array_equal(found.targets, [2, 3, 22])
    np.testing.assert_array_equal(found.part([2]).inputs, [[20, 21]])
    with pytest.raises(ValueError, match="read-only"):
        windows(np.arange(5), 3).inputs[0, 0] = 7


def test_held_out_windows():
    train, validation = validation_windows(60_000, 5_000)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(60_000))
    assert len(validation) == 5_000
    # Entries that the two sides share: all of them in the published kind, none with a gap.
    seen = {
        length: [np.unique(rows[:, None] + np.arange(51)) for rows in validation_windows(1000, 100, length=length)]
        for length in (None, 50)
    }
    shared = {length: len(np.intersect1d(*rows)) / len(rows[1]) for length, rows in seen.items()}
    assert shared[None] > 0.99 and shared[50] == 0
    assert len(validation_windows(1000, 100, length=50)[0]) == 850


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: sine_series(7), "num=7, wanted an even number"),
        (lambda: sine_series(2.5), "num=2.5, wanted an integer"),
        (lambda: sine_mixings(-1), "seed=-1"),
        (lambda: sine_forecasts(mixing="share"), "did you mean 'shared'"),
        (lambda: sine_forecasts(num_train=0), "num_train=0"),
        (lambda: sine_forecasts(num_train=3, num_test=2), "wanted an even sum"),
        (lambda: windows(np.arange(3), 3), "length=3, wanted an integer from 1 to 2"),
        (lambda: windows([], 1), "wanted .T, ....* of one kind"),
        (lambda: windows([np.ones((3, 2)), np.ones((3, 1))], 1), r"shapes \[\(3, 2\), \(3, 1\)\]"),
        (lambda: windows([np.ones(1)], 1), "series of up to 1 entries, wanted more than 1"),
        (lambda: validation_windows(100, 60, length=50), "num_validation=60, wanted an integer from 1 to 49"),
        (lambda: validation_windows(10, 0), "num_validation=0"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
