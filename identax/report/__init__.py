"""From what was recorded to a table "paper, ours" and a page with figures. Nothing is computed or trained here."""

from identax.report.outcome import Outcome, Reference, compare, read_outcome, summarise
from identax.report.page import Comparison, Figure, Section, Table, comparison_table, figure_png, write_report

__all__ = [
    "Comparison",
    "Figure",
    "Outcome",
    "Reference",
    "Section",
    "Table",
    "compare",
    "comparison_table",
    "figure_png",
    "read_outcome",
    "summarise",
    "write_report",
]
