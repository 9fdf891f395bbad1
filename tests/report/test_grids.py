"""Tiles stand where their row and column say; values of trials over a parameter are all drawn."""

import numpy as np
import pytest
from scipy import stats

from identax.report.grids import bootstrap_interval, matrices, over_parameter, tiles


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


def test_bands_are_bootstrap_intervals_of_the_mean():
    values = np.repeat([0.0, 1.0], [60, 140])
    low, high = bootstrap_interval(values)
    wanted = stats.binom(200, 0.7).ppf([0.025, 0.975]) / 200
    np.testing.assert_allclose((low, high), wanted, atol=0.011)
    assert (low, high) == bootstrap_interval(values) and bootstrap_interval(values, 0.5)[0] > low
    assert np.isnan(bootstrap_interval([])).all()
    axes = over_parameter({"ours": {1.0: values, 2.0: [1.0, np.nan]}}, "x", "y", band=0.95).axes[0]
    assert all(line.get_marker() != "o" for line in axes.lines)
    corners = axes.collections[0].get_paths()[0].vertices
    assert {low, high} <= set(corners[corners[:, 0] == 1, 1])


def test_matrices_show_every_count_in_its_square():
    counts = np.array([[5, 0, 1], [2, 3, 0]])
    axes = matrices({"a": counts, "b": counts + 10}, ("p", "q"), ("x", "y", "z"), xlabel="found").axes[0]
    shown = {(round(text.get_position()[0], 1), text.get_position()[1]): text.get_text() for text in axes.texts}
    assert shown[1.0, 1] == "3" and shown[2.0, 0] == "1" and shown[3.6, 0] == "15"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"] * 2
    assert np.asarray(axes.images[0].get_array())[0, 0] == 5 / 6
    with pytest.raises(ValueError, match=r"matrices: a: found counts of shape \(2, 3\), wanted \(3, 2\)"):
        matrices({"a": counts}, ("p", "q", "r"), ("x", "y"))


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
