"""Figures of directed graphs: several side by side, nodes where they are put."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from identax.report.style import INK, MUTED, PALETTE, canvas

_MARGIN = 0.16
"""of a cell of size 1, on every side"""


class DrawnGraph(NamedTuple):
    """`adjacency` [M, M], entry (i, j) of i -> j; `places` [M, 2] in [0, 1]^2, y upwards; a name per node.

    `hidden` [M]: nodes that nobody observes, drawn without fill.
    """

    adjacency: Any
    places: Any
    names: Sequence[str]
    hidden: Any


def graphs(panels: Mapping[str, DrawnGraph], *, columns: int = 3, title: str = "") -> Figure:
    """Draws title -> graph in rows of `columns`. Raises `ValueError` for none, and where places or names do not fit."""
    if not panels:
        raise ValueError("graphs: found no graph, wanted at least one")
    rows = math.ceil(len(panels) / columns)
    figure, axes = canvas((2.6 * columns, 2.3 * rows), title)
    for number, (name, panel) in enumerate(panels.items()):
        _draw(axes, name, panel, np.array([number % columns, -(number // columns)]))
    axes.set(xlim=(0, columns), ylim=(1 - rows, 1), xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def _draw(axes, name, panel, corner):
    adjacency, places = np.asarray(panel.adjacency, bool), np.asarray(panel.places, float)
    size = len(adjacency)
    if adjacency.shape != (size, size) or places.shape != (size, 2) or {len(panel.names), len(panel.hidden)} != {size}:
        raise ValueError(
            f"graphs: found adjacency {adjacency.shape}, places {places.shape}, {len(panel.names)} names and "
            f"{len(panel.hidden)} flags for {name!r}, wanted [M, M], [M, 2] and M of both"
        )
    at = corner + _MARGIN + (1 - 2 * _MARGIN) * places * (1, 0.85)
    for start, end in np.argwhere(adjacency):
        axes.annotate(
            "", at[end], at[start], arrowprops={"arrowstyle": "-|>", "color": MUTED, "shrinkA": 9, "shrinkB": 9}
        )
    for place, text, hidden in zip(at, panel.names, panel.hidden, strict=True):
        fill, ink = ("white", INK) if hidden else (PALETTE[0], "white")
        axes.plot(*place, "o", ms=17, mfc=fill, mec=PALETTE[0], mew=1.2, zorder=3)
        axes.text(*place, text, ha="center", va="center", fontsize=7.5, color=ink, zorder=4)
    axes.text(corner[0] + 0.5, corner[1] + 0.97, name, ha="center", va="top", fontsize=8.5, color=INK, weight="bold")
