"""One self-contained `report.html`: what was claimed, what came out, and everything needed to judge it."""

import base64
import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from identax.report import html

SEED, FAILED_AT = "seed", "failed at step"
MOST_FAILED = 0.2
"""share of a row's trials that may fail: bands are judged on the others, which say nothing if they are few"""

_RULE = f"A row of which more than {MOST_FAILED:.0%} of the trials failed is out of band."


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row "paper | ours | verdict".

    `quantity`: what, e.g. "style R2, AnInfoNCE"; `paper`: the paper's value with its table or figure, a text;
    `mean`, `sd`, `n`: ours over n trials; `low`, `high`: the pass band, None = open on that side;
    `note`: anything a reader must know; `failed`: further trials, which the mean leaves out.
    Raises `ValueError` if n or failed < 0 or low > high.
    """

    quantity: str
    paper: str
    mean: html.Number
    sd: html.Number
    n: int | np.integer
    low: html.Number | None = None
    high: html.Number | None = None
    note: str = ""
    failed: int | np.integer = 0

    def __post_init__(self):
        for name in ("mean", "sd", "low", "high"):  # plain floats, so that a row is JSON-able
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        for name in ("n", "failed"):
            object.__setattr__(self, name, int(getattr(self, name)))
            if getattr(self, name) < 0:
                raise ValueError(
                    f"Comparison {self.quantity!r}: found {name}={getattr(self, name)}, wanted {name} >= 0"
                )
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"Comparison {self.quantity!r}: found band [{self.low}, {self.high}], wanted low <= high")

    @property
    def in_band(self) -> bool | None:
        """low <= mean <= high; None where there is no band.

        A NaN mean is out of every band, and so is the mean of survivors where more than `MOST_FAILED` failed.
        """
        if self.low is None and self.high is None:
            return None
        if self.failed > MOST_FAILED * (self.n + self.failed):
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return bool(low <= self.mean <= high)

    @property
    def count(self) -> str:
        """`5`, or `3 of 5` where two failed."""
        return f"{self.n} of {self.n + self.failed}" if self.failed else str(self.n)

    @property
    def ours(self) -> str:
        """`0.9934 ± 0.0011`, the sd's two leading digits deciding how many places are shown."""
        return html.format_mean_sd(self.mean, self.sd if self.n > 1 else None)

    @property
    def band(self) -> str:
        """`0.9 … 1`, `≥ 0.9`, `≤ 0.05` or `—`."""
        if self.low is None:
            return "—" if self.high is None else f"≤ {html.format_value(self.high)}"
        if self.high is None:
            return f"≥ {html.format_value(self.low)}"
        return f"{html.format_value(self.low)} … {html.format_value(self.high)}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture and what it shows; `png` as of `figure_png`."""

    caption: str
    png: bytes


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: numbers are rounded to 4 digits, True/False shown as marks, None as a dash.

    Raises `ValueError` where a row's length differs from the header's.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __post_init__(self):
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(
                    f"Table {self.caption!r}: row {number} has {len(row)} cells, wanted {len(self.header)}"
                )


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, paragraphs (separated by empty lines; `code` in backticks), tables and figures."""

    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def figure_png(figure: Any, *, dpi: int = 200) -> bytes:
    """Renders a matplotlib figure to PNG bytes; 200 dots per inch are sharp on dense screens."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def trials_table(
    seeds: Any,
    hparams: Mapping[str, Any],
    metrics: Mapping[str, Any],
    failed_at: Any = None,
    *,
    caption: str = "",
) -> Table:
    """Builds the per-trial table: seed, hyper-parameters, final metrics, the step at which it failed.

    `seeds` [T]; `hparams` and `metrics` name -> [T] or [T, k]; `failed_at` [T], 0, negative or None = never.
    """
    count = len(seeds)
    columns: dict[str, list] = {SEED: [int(seed) for seed in seeds]}
    for name, values in (*hparams.items(), *metrics.items()):
        values = np.asarray(values)
        if values.shape[:1] != (count,):
            raise ValueError(f"trials_table: {name} has shape {values.shape}, wanted {count} trials first")
        columns[name] = [value.item() if value.ndim == 0 else value for value in values]
    steps = [None] * count if failed_at is None else list(failed_at)
    columns[FAILED_AT] = [None if step is None or step <= 0 else int(step) for step in steps]
    return Table(caption, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def comparison_table(comparisons: Sequence[Comparison]) -> RichTable:
    """The paper-vs-ours table for a terminal; notes stand below it, numbered."""
    table = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, caption_justify="left")
    table.add_column("quantity", overflow="fold", min_width=10)
    table.add_column("paper", overflow="fold")
    for heading in ("ours (mean ± sd)", "n", "band"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in band?", overflow="fold", min_width=5)
    verdicts = {True: ("✓ yes", "green"), False: ("✗ NO", "bold red"), None: ("—", "dim")}
    notes: list[str] = []
    for row in comparisons:
        if row.note:
            notes.append(f"[{len(notes) + 1}] {row.note}")
        quantity = Text(row.quantity + (f" [{len(notes)}]" if row.note else ""))
        verdict = Text(*verdicts[row.in_band])
        table.add_row(quantity, Text(row.paper), Text(row.ours), row.count, Text(row.band), verdict)
    if notes:
        table.caption = Text("\n".join(notes), style="not italic")
    return table


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    comparisons: Sequence[Comparison],
    config: Any,
    environment: Mapping[str, Any],
    timing: Mapping[str, Any],
    trials_table: Table,
) -> Path:
    """Writes the report to `path` whole or not at all (a temporary file beside it, renamed), and returns it.

    Order: verdict, paper against ours, `sections` as given (premises first, then figures), every trial,
    config (a dataclass or mapping), environment, timing (`compile` and `run`, in seconds, are drawn as a bar;
    further entries are listed). The page needs no other file, no network and no script.
    Raises `OSError` where it cannot be written.
    """
    path = Path(path)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    page = html.page(
        title,
        html.header(title, subtitle, environment)
        + _verdict(comparisons, trials_table)
        + _comparisons(comparisons)
        + "".join(map(_section, sections))
        + html.section("Trials", _table(trials_table))
        + html.columns(
            html.section("Config", html.key_values(config)),
            html.section("Environment", html.key_values(environment)),
            html.section("Timing", html.timing(timing)),
        ),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _verdict(comparisons: Sequence[Comparison], trials: Table) -> str:
    judged = [row.in_band for row in comparisons if row.in_band is not None]
    good = sum(judged)
    place = list(trials.header).index(FAILED_AT) if FAILED_AT in trials.header else None
    failed = 0 if place is None else sum(row[place] is not None for row in trials.rows)
    tone = "none" if not judged else "good" if good == len(judged) else "bad"
    headline = f"{good} of {len(judged)} rows in band" if judged else "No row has a pass band"
    out = [row for row in comparisons if row.in_band is False]
    lines = [f"{row.quantity}: {row.ours}, wanted {row.band}{_of_survivors(row)}" for row in out]
    without = len(comparisons) - len(judged)
    if judged and without:
        lines.append(f"rows without a band: {without}")
    if failed:
        lines.append(f"non-finite trials, left out of every mean: {failed} of {len(trials.rows)}")
    return html.verdict(tone, headline, lines)


def _of_survivors(row: Comparison) -> str:
    return f" ({row.count} trials; at most {MOST_FAILED:.0%} may fail)" if row.failed else ""


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    rows = [
        {
            "quantity": html.escape(row.quantity) + (f"<small>{html.inline(row.note)}</small>" if row.note else ""),
            "paper": html.escape(row.paper),
            "ours": f"<span><b>{html.escape(row.ours)}</b> <span class=n>n = {row.count}</span></span>",
            "band": html.escape(row.band) + html.band_strip(row.mean, row.sd, row.low, row.high, row.in_band),
            "verdict": html.mark(row.in_band, ("in band", "out of band", "no band")),
        }
        for row in comparisons
    ]
    return html.section(
        "Paper against ours",
        html.cards_table(rows) + f"<p class=key>Ours: mean ± sample sd over n trials. {_RULE}</p>",
    )


def _section(section: Section) -> str:
    figures = "".join(
        html.figure(figure.caption, base64.b64encode(figure.png).decode(), _css_width(figure.png))
        for figure in section.figures
    )
    body = html.paragraphs(section.text) + "".join(map(_table, section.tables))
    return html.section(section.title, body + (f"<div class=figures>{figures}</div>" if figures else ""))


def _table(table: Table) -> str:
    failed = list(table.header).index(FAILED_AT) if FAILED_AT in table.header else None
    bad = [failed is not None and row[failed] is not None for row in table.rows]
    return html.table(table.caption, table.header, table.rows, bad)


def _css_width(png: bytes) -> int:
    """The width to show a picture at: half its pixels (PNG header, bytes 16-20), for dense screens."""
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"Figure: found bytes starting with {png[:8]!r}, wanted a PNG picture")
    return int.from_bytes(png[16:20], "big") // 2
