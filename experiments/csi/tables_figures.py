"""Figures of `csi/tables`: recovery of the latents and distance from the smallest loss, every row under every head."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi.tables_claims import HEADS, ROWS
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 of latents in every row under every head, and how far each loss is from the smallest possible."""
    drawn = []
    for quantity, title, ylim in (
        ("R2", "recovery of the latents", (0.0, 1.02)),
        ("loss above Bayes", "loss on fresh data above the smallest possible", None),
    ):
        series = {head: {row: _final(results, head, row, quantity) for row in _ran(results, head)} for head in HEADS}
        series = {head: rows for head, rows in series.items() if rows}
        if series:
            numbers = {row: f"{number}" for number, row in enumerate(ROWS, 1)}
            short = {head: {numbers[row]: values for row, values in rows.items()} for head, rows in series.items()}
            listed = "; ".join(f"{number} {row}" for row, number in numbers.items())
            picture = bars(short, quantity, title=title, ylim=ylim)
            drawn.append(Figure(f"{title}. Rows: {listed}.", figure_png(picture)))
    return drawn


def _ran(results: Mapping[str, Results], head: str) -> list[str]:
    return [row for row in ROWS if f"{head}, {row}" in results]


def _final(results: Mapping[str, Results], head: str, row: str, quantity: str) -> np.ndarray:
    return results[f"{head}, {row}"].final(quantity)
