"""Figures of sweeps and of images: values of trials over a parameter, and tiles of pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from identax.report.style import INK, canvas, legend, reference_lines, series_style


def over_parameter(
    series: Mapping[str, Mapping[float, Any]],
    xlabel: str,
    ylabel: str,
    *,
    title: str = "",
    references: Mapping[str, Mapping[float, float]] | None = None,
    log_x: bool = True,
    log_y: bool = False,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Draws label -> value of the parameter -> [T]: every trial as a dot, their means joined by a line.

    `references`: label -> value of the parameter -> level, drawn as dotted lines with crosses: an oracle, a paper's
    numbers. Non-finite entries are left out. Raises `ValueError` without any value.
    """
    if not any(series.values()):
        raise ValueError("over_parameter: found no values, wanted at least one series with one value of the parameter")
    figure, axes = canvas((5.2, 3.6), title)
    for number, (label, values) in enumerate(series.items()):
        color, dashes = series_style(number)
        at, means = sorted(values), []
        for x in at:
            trials = np.atleast_1d(np.asarray(values[x], float))
            trials = trials[np.isfinite(trials)]
            axes.plot(np.full(len(trials), x), trials, "o", ms=3.5, mfc="none", mec=color, mew=0.8, alpha=0.6, zorder=2)
            means.append(trials.mean() if len(trials) else np.nan)
        axes.plot(at, means, color=color, ls=dashes, lw=2.2, label=label, zorder=3)
    for number, (label, levels) in enumerate((references or {}).items()):
        at = sorted(levels)
        marker = "x+1v"[number % 4]
        axes.plot(at, [levels[x] for x in at], color=INK, ls=":", lw=1.1, marker=marker, ms=6, label=label, zorder=4)
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    if ylim is not None:
        axes.set_ylim(*ylim)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    legend(figure, axes)
    return figure


def shares_over_parameter(
    series: Mapping[str, Mapping[float, Any]],
    xlabel: str,
    ylabel: str,
    *,
    title: str = "",
    references: Mapping[str, float] | None = None,
    coverage: float = 0.95,
    num_samples: int = 1000,
) -> Figure:
    """Draws label -> value of the parameter -> [T] of 0 and 1: their share, with a band of bootstrap samples.

    The band holds the middle `coverage` of the shares of `num_samples` samples of T trials drawn with replacement, by a
    fixed generator, so that a page is drawn twice alike. `references`: label -> level, dotted. Non-finite entries are
    left out. Raises `ValueError` without any value.
    """
    if not any(series.values()):
        raise ValueError("shares_over_parameter: found no values, wanted at least one series with one value")
    figure, axes = canvas((5.2, 3.6), title)
    for number, (label, values) in enumerate(series.items()):
        color, dashes = series_style(number)
        at = sorted(values)
        trials = [np.asarray(values[x], float).reshape(-1) for x in at]
        bands = np.array([_bootstrap(entries[np.isfinite(entries)], coverage, num_samples) for entries in trials])
        axes.fill_between(at, bands[:, 0], bands[:, 2], color=color, alpha=0.16, lw=0, zorder=1)
        axes.plot(at, bands[:, 1], color=color, ls=dashes, lw=2.2, marker="o", ms=4, label=label, zorder=3)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    reference_lines(axes, references or {})
    legend(figure, axes)
    return figure


def _bootstrap(trials, coverage, num_samples):
    """Lower end, mean and upper end."""
    if not len(trials):
        return [np.nan] * 3
    rows = np.random.default_rng(0).integers(0, len(trials), (num_samples, len(trials)))
    low, high = np.quantile(trials[rows].mean(axis=1), [(1 - coverage) / 2, (1 + coverage) / 2])
    return [low, trials.mean(), high]


def tiles(images: Any, *, title: str = "", rows: Sequence[str] = (), gap: int = 1) -> Figure:
    """Draws pictures [R, C, H, W] or [R, C, H, W, 1 or 3] in R rows and C columns; 0 is black, 1 white.

    A latent traversal has a row for each latent and a column for each of its values; reconstructions stand below what
    they reconstruct. `rows`: their names. Entries outside [0, 1] are cut, those that are not finite are drawn black.
    Raises `ValueError` for another shape or number of names.
    """
    images = np.asarray(images, float)
    if images.ndim == 4:
        images = images[..., None]
    if images.ndim != 5 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"tiles: found images of shape {images.shape}, wanted [R, C, H, W] or [R, C, H, W, 1 or 3]")
    if rows and len(rows) != len(images):
        raise ValueError(f"tiles: found {len(rows)} names of {len(images)} rows, wanted one each")
    num_rows, num_columns, height, width, channels = images.shape
    images = np.clip(np.nan_to_num(images, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    sheet = np.ones((num_rows * (height + gap) - gap, num_columns * (width + gap) - gap, channels))
    for r in range(num_rows):
        for c in range(num_columns):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = images[r, c]
    inches = 7.2
    figure, axes = canvas((inches, max(0.8, inches * sheet.shape[0] / sheet.shape[1]) + 0.3), title)
    axes.imshow(np.repeat(sheet, 3 // channels, axis=-1), vmin=0, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[r * (height + gap) + height / 2 for r in range(num_rows)] if rows else [])
    axes.set_yticklabels(list(rows))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure
