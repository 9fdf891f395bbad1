"""Tiles stand where their row and column say; values of trials over a parameter are all drawn."""

import numpy as np
import pytest

from identax.report.grids import over_parameter, shares_over_parameter, tiles


def test_every_trial_is_a_dot_and_failed_ones_are_left_out():
    figure = over_parameter(
        {"ours": {10.0: [1.0, np.nan, 3.0], 1.0: [5.0]}}, "x", "y", references={"paper": {1.0: 2.0}}
    )
    lines = figure.axes[0].lines
    dots = [line for line in lines if line.get_marker() == "o"]
    assert sorted(tuple(dot.get_ydata()) for dot in dots) == [(1.0, 3.0), (5.0,)]
    mean = next(line for line in lines if line.get_label() == "ours")
    assert list(mean.get_xdata()) == [1.0, 10.0] and list(mean.get_ydata()) == [5.0, 2.0]
    with pytest.raises(ValueError, match="found no values"):
        over_parameter({"ours": {}}, "x", "y")


def test_the_band_of_a_share_is_that_of_its_trials():
    trials = np.repeat([0.0, 1.0], [300, 100])
    figure = shares_over_parameter(
        {"ours": {1.0: [*trials, np.nan], 0.0: [0.0, 0.0]}}, "x", "y", references={"a": 0.05}
    )
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "ours")
    assert list(mean.get_xdata()) == [0.0, 1.0] and list(mean.get_ydata()) == [0.0, 0.25]
    (band,) = figure.axes[0].collections
    edges = band.get_paths()[0].vertices
    ends = edges[edges[:, 0] == 1.0, 1]
    # of a binomial share, 1.96 standard errors; the bootstrap's own error is about a tenth of that
    np.testing.assert_allclose(
        [ends.min(), ends.max()], 0.25 + np.array([-1, 1]) * 1.96 * (0.1875 / 400) ** 0.5, atol=0.006
    )
    with pytest.raises(ValueError, match="found no values"):
        shares_over_parameter({"ours": {}}, "x", "y")


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_tiles_stand_in_their_row_and_column(channels):
    images = np.zeros((2, 3, 4, 5) + (() if channels is None else (channels,)))
    images[1, 2] = 0.5
    images[0, 0] = np.nan
    (sheet,) = tiles(images, rows=("a", "b")).axes[0].images
    drawn = np.asarray(sheet.get_array())
    assert drawn.shape == (9, 17, 3)
    assert (drawn[5:, 12:] == 0.5).all() and (drawn[:4, :11][:, :5] == 0).all() and (drawn[4] == 1).all()


@pytest.mark.parametrize("images", [np.zeros((2, 3)), np.zeros((1, 1, 4, 4, 2)), np.zeros((0, 1, 4, 4))])
def test_other_shapes_are_refused(images):
    with pytest.raises(ValueError, match="tiles: found images of shape"):
        tiles(images)


def test_names_are_one_for_each_row():
    with pytest.raises(ValueError, match="3 names of 2 rows"):
        tiles(np.zeros((2, 3, 4, 4)), rows="abc")
