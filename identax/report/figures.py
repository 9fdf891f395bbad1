"""The figures of a report, in one style: matplotlib objects without pyplot, so nothing global changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from identax.report.style import (
    DASHES,
    GRID,
    INK,
    MUTED,
    PALETTE,
    canvas,
    legend,
    reference_lines,
    series_style,
)


def learning_curves(
    steps: Num[Array | np.ndarray, " L"],
    curves: Mapping[str, Any],
    ylabel: str,
    *,
    title: str = "",
    references: Mapping[str, float] | None = None,
    ylim: tuple[float, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Draws each label's mean over trials, its mean +- sd band and every single trial as a thin line.

    `curves`: label -> [T, L], over the same `steps`; non-finite entries (failed trials) are left out.
    `references`: label -> level, drawn as dotted lines. Raises `ValueError` on arrays of another shape.
    """
    steps = np.asarray(steps)
    figure, axes = canvas((5.2, 3.6), title)
    for number, (label, values) in enumerate(curves.items()):
        values = _trials_by(values, len(steps), f"learning_curves: {label}")
        mean, sd, n = _moments(values)
        color, dashes = series_style(number)
        axes.plot(steps, np.where(np.isfinite(values), values, np.nan).T, color=color, lw=0.7, alpha=0.35, zorder=2)
        if n.max(initial=0) > 1:
            axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.14, lw=0, zorder=1)
        axes.plot(steps, mean, color=color, ls=dashes, lw=2.2, label=label, zorder=3)
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel)
    # Scales before reference labels: both ask where the axis ends.
    positive = [np.isfinite(line) & (line > 0) for values in curves.values() for line in np.asarray(values)]
    axes.set_xscale("log" if log_x and (steps > 0).any() else "linear")  # a log axis needs something to show
    axes.set_yscale("log" if log_y and np.any(positive) else "linear")
    axes.margins(x=0.01)
    if ylim is not None:
        axes.set_ylim(*ylim)
    reference_lines(axes, references or {})
    legend(figure, axes)
    return figure


def spectrum(
    true: Num[Array | np.ndarray, " n"],
    estimated: Num[Array | np.ndarray, "T n"],
    oracle: Num[Array | np.ndarray, " n"] | None = None,
    *,
    ylabel: str = "precision",
    title: str = "",
    log_y: bool = False,
) -> Figure:
    """Draws the estimated precisions of every trial against the truth, both sorted from large to small.

    `oracle`: what a perfect encoder would estimate. Raises `ValueError` on arrays of another shape.
    """
    true = np.asarray(true)
    estimated = _trials_by(estimated, len(true), "spectrum: estimated")
    figure, axes = canvas((max(5.2, 1.4 + 0.5 * len(true)), 3.6), title)
    ranks = np.arange(1, len(true) + 1)
    axes.hlines(np.sort(true)[::-1], ranks - 0.36, ranks + 0.36, color=INK, lw=2.4, label="truth", zorder=2)
    if oracle is not None:
        level = np.sort(oracle)[::-1]
        axes.hlines(
            level,
            ranks - 0.36,
            ranks + 0.36,
            color=PALETTE[1],
            lw=1.6,
            ls=DASHES[2],
            label="oracle optimum",
            zorder=3,
        )
    ordered = np.sort(estimated, axis=1)[:, ::-1]  # a row with a NaN is all NaN below
    ordered[~np.isfinite(estimated).all(axis=1)] = np.nan
    shifts = np.linspace(-0.2, 0.2, len(ordered)) if len(ordered) > 1 else np.zeros(1)
    for shift, row in zip(shifts, ordered, strict=True):
        axes.plot(ranks + shift, row, "o", ms=5, mfc=PALETTE[0], mec="white", mew=0.6, alpha=0.85, zorder=4)
    axes.plot([], [], "o", ms=5, color=PALETTE[0], label="estimate, one dot per trial")
    axes.set_yscale("log" if log_y else "linear")
    if not log_y:
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(np.append(ordered, 0.0)))))
    axes.set_xticks(ranks)
    axes.set_xlabel("rank")
    axes.set_ylabel(ylabel)
    axes.grid(axis="x", visible=False)
    legend(figure, axes)
    return figure


def bars(
    values: Mapping[str, Mapping[str, Any]],
    ylabel: str,
    *,
    title: str = "",
    references: Mapping[str, Mapping[str, float]] | None = None,
    reference_label: str = "paper",
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Draws grouped bars: series -> category -> [T]; bar = mean, whisker = sd, dot = trial.

    `references`: series -> category -> level, drawn as a black tick across the bar.
    A series may lack a category, whose other bars close up; non-finite entries are left out. Raises `ValueError` if
    `values` is empty.
    """
    categories = list(dict.fromkeys(name for series in values.values() for name in series))
    if not categories:
        raise ValueError("bars: found no values, wanted at least one series with one category")
    figure, axes = canvas((max(5.2, 1.2 + 0.5 * len(categories) * (len(values) + 0.8)), 3.6), title)
    width = 0.8 / len(values)
    present = {category: [label for label in values if category in values[label]] for category in categories}
    for number, (label, series) in enumerate(values.items()):
        color = PALETTE[number % len(PALETTE)]
        axes.fill_between([], [], color=color, alpha=0.8, lw=0, label=label)
        for place, category in enumerate(categories):
            if category in series:
                beside = present[category]
                center = place + (beside.index(label) - (len(beside) - 1) / 2) * width
                _bar(
                    axes,
                    center,
                    width * 0.86,
                    np.atleast_1d(np.asarray(series[category], dtype=float)),
                    color,
                )
                level = (references or {}).get(label, {}).get(category)
                if level is not None:
                    axes.hlines(level, center - width * 0.48, center + width * 0.48, color=INK, lw=2.2, zorder=5)
    if references:
        axes.plot([], [], color=INK, lw=2.2, label=reference_label)
    axes.set_xticks(range(len(categories)), categories)
    axes.set_ylabel(ylabel)
    if ylim is not None:
        axes.set_ylim(*ylim)
    axes.grid(axis="x", visible=False)
    axes.axhline(0, color=MUTED, lw=0.8, zorder=1)
    legend(figure, axes)
    return figure


def scatter_latents(
    latents: Num[Array | np.ndarray, "N n"],
    estimates: Num[Array | np.ndarray, "_ m"],
    *,
    title: str = "",
    max_points: int = 500,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draws every latent (row) against every estimate (column) of one trial, shaded by |correlation|.

    Estimates are ordered so that the best one-to-one match lies on the diagonal: a recovered world shows
    straight lines there and clouds elsewhere. At most `max_points` rows of the data are drawn; the
    correlations use all. `names`: of the latents. Raises `ValueError` where the two have unequal length.
    """
    # One axes with shifted unit cells: n x m separate axes take seconds.
    if len(latents) != len(estimates):
        raise ValueError(f"scatter_latents: found {len(latents)} latents and {len(estimates)} estimates, wanted equal")
    latents, estimates = (np.where(np.isfinite(a), a, np.nan) for a in (latents, estimates))
    correlation = _correlation(latents, estimates)
    order = _matched_order(np.abs(correlation))
    correlation, estimates = correlation[:, order], estimates[:, order]
    rows, columns = correlation.shape
    size = min(0.9, max(0.6, 4.2 / columns))
    figure, axes = canvas((1.0 + size * columns, 1.0 + size * rows), title)
    shown = slice(None, None, max(1, -(-len(latents) // max_points)))
    x, y = _unit(estimates[shown]), _unit(latents[shown])
    for i in range(rows):
        for j in range(columns):
            strength = abs(correlation[i, j])
            color = PALETTE[0] if strength >= 0.5 else MUTED
            axes.scatter(
                j + 0.08 + 0.84 * x[:, j], rows - 1 - i + 0.08 + 0.84 * y[:, i], s=1.6, lw=0, color=color,
                alpha=0.18 + 0.5 * float(strength), rasterized=True,
            )  # fmt: skip
            axes.text(
                j + 0.95, rows - i - 0.06, f"{strength:.2f}", ha="right", va="top", fontsize=7, color=INK,
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.8},
            )  # fmt: skip
    axes.hlines(range(rows + 1), 0, columns, color=GRID, lw=1)
    axes.vlines(range(columns + 1), 0, rows, color=GRID, lw=1)
    axes.grid(visible=False)
    axes.set(xlim=(0, columns), ylim=(0, rows), aspect="equal")
    axes.set_xticks(np.arange(columns) + 0.5, [str(i + 1) for i in order])
    axes.set_yticks(np.arange(rows) + 0.5, list(names or map(str, range(1, rows + 1)))[::-1])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("estimate, best match first; corner: |correlation|")
    axes.set_ylabel("true latent")
    return figure


def _bar(axes: Axes, center: float, width: float, values: np.ndarray, color: str) -> None:
    values = values[np.isfinite(values)]
    if not len(values):
        # Text does not widen the axes: where all bars failed it would stand outside, and the layout collapse.
        axes.update_datalim(((center - width, 0), (center + width, 0)))
        axes.text(center, 0, "nothing finite", rotation=90, ha="center", va="bottom", fontsize=8, color=MUTED)
        return
    axes.bar(center, values.mean(), width, color=color, alpha=0.8, lw=0, zorder=2)
    if len(values) > 1:
        axes.errorbar(center, values.mean(), values.std(ddof=1), color=INK, lw=1.2, capsize=3, zorder=4)
        spots = center + np.linspace(-0.25, 0.25, len(values)) * width
        axes.plot(spots, values, "o", ms=3.5, mfc="white", mec=color, mew=1, zorder=3)


def _trials_by(values: Any, length: int, what: str) -> np.ndarray:
    values = np.array(values, dtype=float)
    if values.ndim != 2 or values.shape[1] != length:
        raise ValueError(f"{what}: found shape {values.shape}, wanted [trials, {length}]")
    return values


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sample sd and count of the finite entries over axis 0, NaN where there is none."""
    good = np.isfinite(values)
    n = good.sum(axis=0)
    mean = np.where(n > 0, np.where(good, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
    squares = np.where(good, (np.where(good, values, 0.0) - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(n - 1, 1)), n


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson correlation of the columns [n, m], 0 where a column is constant or not finite."""
    x, y = (np.asarray(a, dtype=float) - np.mean(a, axis=0, dtype=float) for a in (x, y))
    scale = np.sqrt((x**2).sum(axis=0))[:, None] * np.sqrt((y**2).sum(axis=0))[None, :]
    return np.nan_to_num(np.divide(x.T @ y, scale, out=np.zeros(scale.shape), where=scale > 0))


def _matched_order(strength: np.ndarray) -> list[int]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-strength)
    first = [int(column) for _, column in sorted(zip(rows, columns, strict=True))]
    return first + [j for j in range(strength.shape[1]) if j not in first]


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(axis=0), values.max(axis=0)
    width = high - low
    return np.where(width > 0, (values - low) / np.where(width > 0, width, 1.0), 0.5)
