"""Figures of sweeps, of counts and of images: values of trials over a parameter, matrices, and tiles of pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from identax.report.style import INK, canvas, legend, series_style


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
    band: float | None = None,
) -> Figure:
    """Draws label -> value of the parameter -> [T]: every trial as a dot, their means joined by a line.

    `band`, for many trials of 0 and 1: in the place of dots the bootstrap interval of the mean that holds that share.
    `references`: label -> value of the parameter -> level, drawn as dotted lines with crosses: an oracle, a paper's
    numbers. Non-finite entries are left out. Raises `ValueError` without any value.
    """
    if not any(series.values()):
        raise ValueError("over_parameter: found no values, wanted at least one series with one value of the parameter")
    figure, axes = canvas((5.2, 3.6), title)
    for number, (label, values) in enumerate(series.items()):
        color, dashes = series_style(number)
        at, means, ends = sorted(values), [], []
        for x in at:
            trials = np.atleast_1d(np.asarray(values[x], float))
            trials = trials[np.isfinite(trials)]
            means.append(trials.mean() if len(trials) else np.nan)
            if band is None:
                dots = np.full(len(trials), x)
                axes.plot(dots, trials, "o", ms=3.5, mfc="none", mec=color, mew=0.8, alpha=0.6, zorder=2)
            else:
                ends.append(bootstrap_interval(trials, band))
        if band is not None:
            axes.fill_between(at, *np.transpose(ends), color=color, alpha=0.14, lw=0, zorder=1)
            axes.vlines(at, *np.transpose(ends), color=color, lw=0.8, alpha=0.6, zorder=2)  # a single value has no area
            axes.plot(at, means, "s", ms=3.5, color=color, zorder=3)
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


def bootstrap_interval(values: Any, share: float = 0.95, *, num_draws: int = 1000) -> tuple[float, float]:
    """The interval that holds `share` of the means of `num_draws` samples of [T] with replacement; NaN without values.

    The generator is seeded: the same values give the same interval.
    """
    values = np.asarray(values, float)
    if not len(values):
        return np.nan, np.nan
    drawn = np.random.default_rng(0).integers(len(values), size=(num_draws, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def matrices(
    tables: Mapping[str, Any], rows: Sequence[str], columns: Sequence[str], *, xlabel: str = "", ylabel: str = ""
) -> Figure:
    """Draws label -> counts [R, C] side by side: squares as dark as their share of the row, with the count inside.

    A confusion matrix has a row for each truth and a column for each decision. Raises `ValueError` for other shapes.
    """
    wanted, gap = (len(rows), len(columns)), 0.6
    figure, axes = canvas((1.4 + 0.62 * len(tables) * (wanted[1] + gap), 1.3 + 0.5 * wanted[0]), "")
    ticks, starts = [], []
    for number, (label, counts) in enumerate(tables.items()):
        counts = np.asarray(counts, float)
        if counts.shape != wanted:
            raise ValueError(f"matrices: {label}: found counts of shape {counts.shape}, wanted {wanted}")
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        left = number * (wanted[1] + gap)
        axes.imshow(
            shares, cmap="Blues", vmin=0, vmax=1.3, extent=(left - 0.5, left + wanted[1] - 0.5, wanted[0] - 0.5, -0.5)
        )
        for i, j in np.ndindex(*wanted):
            axes.text(left + j, i, f"{counts[i, j]:g}", ha="center", va="center", fontsize=8, color=INK)
        axes.text(left - 0.5, -0.62, label, ha="left", va="bottom", fontsize=8, color=INK)
        ticks += [left + j for j in range(wanted[1])]
        starts.append(left)
    axes.grid(visible=False)
    axes.set(xlim=(-0.6, starts[-1] + wanted[1] - 0.4), ylim=(wanted[0] - 0.4, -1.1), aspect="equal")
    axes.set_xticks(ticks, list(columns) * len(tables))
    axes.set_yticks(range(wanted[0]), list(rows))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure


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
