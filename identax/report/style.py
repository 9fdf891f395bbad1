"""How every figure looks: colours, dashes, canvas and legend, without pyplot or global settings."""

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito (2008), told apart under every common colour-vision deficiency; yellow left out (too pale).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, GRID = "#1f2328", "#6b7280", "#e5e7eb"
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


def canvas(size: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    """An empty figure of `size` inches with one pair of axes in the house style."""
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(color=GRID, lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, color=MUTED)
    axes.xaxis.label.set(size=10, color=INK)
    axes.yaxis.label.set(size=10, color=INK)
    if title:
        figure.suptitle(title, size=11, weight="bold", color=INK, x=0.01, ha="left")
    return figure, axes


def series_style(number: int) -> tuple[str, Any]:
    """Colour and dashes; the dashes differ too, for print and where colours repeat."""
    return PALETTE[number % len(PALETTE)], DASHES[(number // len(PALETTE)) % len(DASHES)]


def legend(figure: Figure, axes: Axes) -> None:
    """Puts the legend of `axes` below them, where it hides no data, in as many columns as fit; none without labels."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [textwrap.fill(label, 56) for label in labels]
    for columns in range(min(len(labels), 3), 0, -1):
        drawn = figure.legend(
            handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9,
            labelcolor=INK, handlelength=1.8, columnspacing=1.6,
        )  # fmt: skip
        if columns == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            return
        drawn.remove()


def reference_lines(axes: Axes, references: Mapping[str, float]) -> None:
    """Draws each level (in data units) as a dotted line with its label at the right edge."""
    for label, level in references.items():
        axes.axhline(level, color=INK, lw=1.1, ls=DASHES[2], zorder=2)
        axes.annotate(
            textwrap.fill(label, 14), (1.0, level), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", ha="left", va="center", fontsize=8, color=INK,
        )  # fmt: skip
