"""The figures: what is drawn where, which trials are left out, and that nothing global changes."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from identax.report.figures import bars, learning_curves, scatter_latents, spectrum
from identax.report.page import figure_png
from identax.report.style import PALETTE

STEPS = np.arange(5) * 10


def drawn(figure):
    """The lines of a figure's only axes as (label, x, y)."""
    lines = figure.axes[0].lines
    return [(line.get_label(), np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in lines]


def test_learning_curves_draw_the_mean_over_finite_trials_and_every_trial():
    values = np.arange(15.0).reshape(3, 5)
    values[1, 3:] = np.nan
    values[2, 4] = np.inf
    figure = learning_curves(STEPS, {"a": values}, "loss", references={"paper": 2.5})
    found = drawn(figure)
    (mean,) = [y for label, _, y in found if label == "a"]
    np.testing.assert_allclose(mean, [5, 6, 7, (3 + 13) / 2, 4])
    single = [y for label, _, y in found if label.startswith("_") and len(y) == 5]
    assert len(single) == 3 and np.isnan(single[1][3:]).all() and single[1][2] == 7
    assert any(np.all(np.asarray(y) == 2.5) for _, _, y in found), "the reference line"
    (band,) = figure.axes[0].collections
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.max() == pytest.approx(8 + 50**0.5) and edges.min() == pytest.approx(0)
    assert figure_png(figure, dpi=50)[:4] == b"\x89PNG"


def test_learning_curves_survive_when_every_trial_failed():
    figure = learning_curves(STEPS, {"a": np.full((2, 5), np.nan)}, "loss", log_y=True, log_x=True)
    assert figure_png(figure, dpi=50)


def test_series_are_told_apart_beyond_the_palette():
    figure = learning_curves(STEPS, {str(i): np.full((1, 5), float(i)) for i in range(8)}, "loss")
    lines = [line for line in figure.axes[0].lines if line.get_label().isdigit()]
    styles = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert len(set(styles)) == 8


@pytest.mark.parametrize("shape", [(5,), (2, 4), (1, 5, 1)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"learning_curves: a: found shape .* wanted \[trials, 5\]"):
        learning_curves(STEPS, {"a": np.zeros(shape)}, "loss")
    with pytest.raises(ValueError, match="wanted equal"):
        scatter_latents(np.zeros((4, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="found no values"):
        bars({}, "y")


def test_spectrum_sorts_every_trial_and_leaves_failed_ones_out():
    estimated = np.array([[5.0, 24.0, 11.0], [np.nan, 3.0, 1.0], [23.0, 10.0, 6.0]])
    figure = spectrum(np.array([5.0, 25.0, 10.0]), estimated, np.array([5.2, 25.5, 10.2]))
    rows = [y for _, _, y in drawn(figure) if len(y) == 3]
    np.testing.assert_array_equal(rows, [[24, 11, 5], [np.nan] * 3, [23, 10, 6]])
    levels = figure.axes[0].collections[:2]
    truth, oracle = ([path[0, 1] for path in lines.get_segments()] for lines in levels)
    assert truth == [25, 10, 5] and oracle == [25.5, 10.2, 5.2]
    assert figure_png(figure, dpi=50)
    assert figure_png(spectrum(np.ones(2), np.full((1, 2), np.nan), log_y=True), dpi=50)


def test_bars_show_means_trials_and_the_papers_values():
    values = {"A": {"content": [0.9, 1.0], "style": [0.5, np.nan]}, "B": {"content": [np.nan]}}
    figure = bars(values, "R2", references={"A": {"content": 0.97}})
    heights = sorted(patch.get_height() for patch in figure.axes[0].patches)
    np.testing.assert_allclose(heights, [0.5, 0.95])
    # Where one series has nothing, the other's bar stands above the name.
    np.testing.assert_allclose([patch.get_x() + patch.get_width() / 2 for patch in figure.axes[0].patches], [-0.2, 1])
    ticks = [lines for lines in figure.axes[0].collections if hasattr(lines, "get_segments")]
    assert 0.97 in [lines.get_segments()[0][0, 1] for lines in ticks]
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing finite"]
    handles = figure.legends[0].legend_handles
    assert to_rgb(handles[0].get_facecolor()) == to_rgb(PALETTE[0]) != to_rgb(handles[1].get_facecolor())
    assert figure_png(figure, dpi=50)


def test_bars_survive_when_all_of_them_failed():
    figure = bars({name: {"score": np.full(2, np.nan)} for name in "ABCD"}, "score")
    assert figure_png(figure, dpi=50)
    low, high = figure.axes[0].get_xlim()
    assert all(low < text.get_position()[0] < high for text in figure.axes[0].texts)


def test_scatter_puts_the_match_on_the_diagonal():
    latents = np.random.default_rng(0).standard_normal((400, 3))
    estimates = np.concatenate([latents[:, [2, 0, 1]] * [-2.0, 1.0, 3.0], np.zeros((400, 1))], axis=1)
    figure = scatter_latents(latents, estimates, max_points=50, names=["x", "y", "z"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "1", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z", "y", "x"]
    strengths = np.array([float(text.get_text()) for text in axes.texts]).reshape(3, 4)
    expected = np.abs(np.corrcoef(latents.T, estimates[:, [1, 2, 0]].T)[:3, 3:])
    np.testing.assert_allclose(strengths[:, :3], expected, atol=0.0051)
    assert (strengths[:, 3] == 0).all(), "a collapsed estimate correlates with nothing"
    for i in range(3):  # cell i of row i: exact lines
        x, y = axes.collections[4 * i + i].get_offsets().T
        assert abs(np.corrcoef(x, y)[0, 1]) == pytest.approx(1)
    assert all(len(points.get_offsets()) == 50 for points in axes.collections[:12])
    assert figure_png(figure, dpi=50)


def test_scatter_survives_failed_estimates():
    latents = np.random.default_rng(0).standard_normal((50, 2))
    assert figure_png(scatter_latents(latents, np.full((50, 2), np.nan)), dpi=50)
    assert figure_png(scatter_latents(latents, np.full((50, 2), np.inf)), dpi=50)


def test_nothing_global_changes():
    before = dict(matplotlib.rcParams)
    learning_curves(STEPS, {"a": np.zeros((1, 5))}, "loss", title="t")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("words", [1, 4, 9])
def test_a_legend_stays_within_its_figure_however_long_its_labels(words):
    series = {f"{'a long name ' * words}{n}": np.ones((1, 5)) * n for n in range(5)}
    figure = learning_curves(STEPS, series, "loss")
    assert figure_png(figure, dpi=50)
    (found,) = figure.legends
    assert len(found.get_texts()) == 5 and found.get_window_extent().width <= figure.bbox.width
    starts = {round(text.get_window_extent().x0) for text in found.get_texts()}
    assert (len(starts) > 1) == (words == 1), "one column for long labels alone"
