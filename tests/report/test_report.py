"""The report page: what it says, in which order, safely escaped, in one file or none."""

import base64
import dataclasses
import html
import io
import os
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from identax.report.figures import bars
from identax.report.html import band_strip, format_mean_sd, format_value
from identax.report.page import (
    Comparison,
    Figure,
    Section,
    Table,
    comparison_table,
    figure_png,
    trials_table,
    write_report,
)

_VOID = {"meta", "img", "line", "rect", "circle", "br"}


class Page(HTMLParser):
    """Parses a page, insists on balanced tags, and keeps tags, attributes, visible text and pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.failed_rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@dataclasses.dataclass(frozen=True)
class Config:
    dim: int = 6
    precision: tuple = (25.0, 5.0)


COMMIT = {"commit": "abcdef0123456", "dirty": True}
PNG = figure_png(bars({"a": {"x": np.array([1.0])}}, "y"), dpi=50)
TRIALS = trials_table(
    np.arange(3), {"learning_rate": np.full(3, 1e-3)}, {"r2": np.array([0.9, np.nan, 0.8])}, [0, 150, -1]
)


def page(tmp_path, **changes):
    arguments = {
        "title": "A study",
        "subtitle": "with a `preset`",
        "sections": [Section("Premises", tables=[Table("", ["premise", "holds"], [["uniform", True]])])],
        "comparisons": [
            Comparison("content", "paper says", 0.99, 0.01, 4, low=0.98),
            Comparison("style", "none", 0.5, 0.1, 4, low=0.98),
            Comparison("loss", "7.6", 7.6, 0.0, 4),
        ],
        "config": Config(),
        "environment": {"packages": {"jax": "0.10"}, "devices": {"cpu": 8}, **COMMIT},
        "timing": {"compile": 1.0, "run": 3.0, "steps_per_s": 72.5},
        "trials_table": TRIALS,
    } | changes
    path = write_report(tmp_path / "report.html", **arguments)
    return path.read_text(encoding="utf-8")


def test_page_says_everything_in_order(tmp_path):
    curves = Section("Curves", figures=[Figure("loss", PNG)])
    text = page(tmp_path, sections=[Section("Premises", "one\n\ntwo"), curves])
    assert "<p>one</p>\n<p>two</p>" in text
    words = Page(text).words
    order = ["A study", "1 of 2 rows in band", "style: 0.50 ± 0.10, wanted ≥ 0.98", "Paper against ours"]
    order += ["Premises", "Curves", "Trials", "failed at step", "Config", "precision 25, 5", "Environment"]
    order += ["packages.jax 0.10", "Timing", "compile 1 s run 3 s", "steps_per_s 72.5"]
    places = [words.find(part) for part in order]
    assert -1 not in places and places == sorted(places), dict(zip(order, places, strict=True))
    assert "commit abcdef0123 with local changes" in words and "8 × cpu" in words
    assert "non-finite trials, left out of every mean: 1 of 3" in words and "rows without a band: 1" in words


def test_page_is_self_contained(tmp_path):
    text = page(tmp_path, sections=[Section("Curves", figures=[Figure("loss", PNG)])])
    found = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    for name, value in found.attributes:
        assert name not in {"href", "srcset"} and not name.startswith("on")
        if name == "src":
            assert base64.b64decode(value.removeprefix("data:image/png;base64,"), validate=True) == PNG
    assert "src" in dict(found.attributes) and "://" not in text and "url(" not in text
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in found.attributes


EVIL = """<script>alert("1")</script>'&<img src=x onerror=y>"""


def test_everything_is_escaped(tmp_path):
    changes = {
        "title": EVIL,
        "subtitle": EVIL,
        "sections": [Section(EVIL, EVIL, [Figure(EVIL, PNG)], [Table(EVIL, [EVIL], [[EVIL]])])],
        "comparisons": [Comparison(EVIL, EVIL, mean, 0, 1, 0, 2, note=EVIL) for mean in (1, 5)],
        "config": {EVIL: {EVIL: EVIL}},
        "environment": {"devices": {EVIL: 1}, "commit": EVIL, "time_utc": EVIL},
        "timing": {EVIL: EVIL},
        "trials_table": Table(EVIL, [EVIL], [[EVIL]]),
    }
    text = page(tmp_path, **changes)
    found = Page(text)
    assert "script" not in found.tags and found.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in found.attributes)
    assert EVIL not in text and text.count(html.escape(EVIL)) >= 20


def test_failed_trials_and_bool_cells_are_marked(tmp_path):
    text = page(tmp_path, sections=[Section("s", tables=[Table("", ["a", "b"], [[True, np.bool_(False)]])])])
    assert text.count("<tr class=failed>") == 1 and "<tr class=failed><td class=number>1</td>" in text
    assert '<span class="mark good">✓ yes</span>' in text and '<span class="mark bad">✗ no</span>' in text


@pytest.mark.parametrize("rows, tone", [([0.99], "good"), ([0.99, 0.1], "bad"), ([], "none")])
def test_verdict_tone(tmp_path, rows, tone):
    text = page(tmp_path, comparisons=[Comparison("q", "p", mean, 0.0, 2, low=0.5) for mean in rows])
    assert f'<div class="verdict {tone}">' in text
    assert ("No row has a pass band" in text) == (not rows) and ("Paper against ours" in text) == bool(rows)


def test_report_is_whole_or_not_there(tmp_path, monkeypatch):
    before = page(tmp_path)

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        page(tmp_path, title="Another")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before


def test_same_arguments_give_the_same_page(tmp_path):
    assert page(tmp_path) == page(tmp_path)


@pytest.mark.parametrize(
    "mean, low, high, expected",
    [(0.5, None, None, None), (0.5, 0.5, None, True), (0.4, 0.5, None, False), (0.5, None, 0.5, True),
     (0.6, None, 0.5, False), (0.5, 0.4, 0.6, True), (0.7, 0.4, 0.6, False), (np.nan, 0.0, 1.0, False)],
)  # fmt: skip
def test_in_band(mean, low, high, expected):
    assert Comparison("q", "p", mean, 0.1, 4, low, high).in_band is expected


def test_comparison_takes_numpy_numbers_and_refuses_nonsense():
    row = Comparison("q", "p", np.float32(0.5), np.float64(0.1), np.int64(4), 0, 1)
    assert type(row.mean) is float and type(row.n) is int and row.in_band is True
    assert (row.ours, row.band) == ("0.50 ± 0.10", "0 … 1")
    with pytest.raises(ValueError, match=r"band \[2.0, 1.0\], wanted low <= high"):
        Comparison("q", "p", 0.5, 0.1, 4, 2, 1)
    with pytest.raises(ValueError, match="n=-1"):
        Comparison("q", "p", 0.5, 0.1, -1)


def test_one_trial_shows_no_sd():
    assert Comparison("q", "p", 0.5, 0.0, 1).ours == "0.5"


@pytest.mark.parametrize(
    "mean, sd, text",
    [
        (0.99341, 0.00112, "0.9934 ± 0.0011"),
        (25.03, 12.0, "25 ± 12"),
        (-0.02, 0.5, "-0.02 ± 0.50"),
        (0.5, None, "0.5"),
        (np.nan, 0.1, "nan"),
        (1.0, 0.0, "1 ± 0"),
        (1.0, np.nan, "1"),
        (1e7, 1.0, "1e+07 ± 1"),
    ],
)
def test_mean_and_sd_share_their_places(mean, sd, text):
    assert format_mean_sd(mean, sd) == text


def test_values_as_text():
    values = [
        None,
        True,
        0.123456,
        np.float32(1 / 3),
        123456,
        "a",
        np.array([1.0, 2.5]),
        (1, "b"),
        {"k": 1.0},
    ]
    assert list(map(format_value, values)) == [
        "—", "yes", "0.1235", "0.3333", "123,456", "a", "1, 2.5", "1, b", "k 1",
    ]  # fmt: skip


def test_band_strip_puts_the_dot_where_the_mean_is():
    def place(mean):
        return float(band_strip(mean, 0.0, 0.0, 1.0, True).split('cx="')[1].split('"')[0])

    assert place(0.5) == pytest.approx(60, abs=0.1) and place(0.1) < place(0.5) < place(0.9)
    assert band_strip(0.5, 0.1, None, None, None) == "" and band_strip(np.nan, 0.1, 0, 1, False) == ""
    assert "circle" in band_strip(0.0, 0.0, 0.0, None, True), "no width at all"


def test_trials_table_keeps_trials_apart():
    table = trials_table([3, 4], {"lr": np.array([0.1, 0.2])}, {"v": np.array([[1.0, 2.0], [3.0, 4.0]])}, [-1, 7])
    assert table.header == ("seed", "lr", "v", "failed at step")
    assert [row[0] for row in table.rows] == [3, 4] and [row[3] for row in table.rows] == [None, 7]
    np.testing.assert_array_equal(table.rows[1][2], [3.0, 4.0])
    with pytest.raises(ValueError, match=r"lr has shape \(3,\), wanted 2 trials"):
        trials_table([3, 4], {"lr": np.zeros(3)}, {})


def test_ragged_tables_and_false_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match="row 1 has 1 cells, wanted 2"):
        Table("t", ["a", "b"], [[1, 2], [3]])
    with pytest.raises(ValueError, match="wanted a PNG"):
        page(tmp_path, sections=[Section("s", figures=[Figure("f", b"GIF89a")])])
    assert not list(tmp_path.iterdir())


def test_terminal_table_says_the_same():
    rows = [
        Comparison("style [x]", "0.99 [fig]", 0.5, 0.1, 4, low=0.9, note="see [docs]"),
        Comparison("content", "0.9", 0.95, 0.01, 4, low=0.9),
        Comparison("loss", "-", 1.0, 0.1, 4),
    ]
    stream = io.StringIO()
    Console(file=stream, width=100).print(comparison_table(rows))
    text = stream.getvalue()
    for part in ("style [x] [1]", "0.99 [fig]", "0.50 ± 0.10", "≥ 0.9", "✗ NO", "✓ yes", "[1] see [docs]"):
        assert part in text, part
    assert text.count("✓ yes") == 1 and text.count("✗ NO") == 1


@pytest.mark.parametrize("timing", [{"run": 3.0}, {"compile": np.nan, "run": 1.0}, {"compile": "?", "run": 1.0}])
def test_incomplete_timing_is_listed_without_a_bar(tmp_path, timing):
    text = page(tmp_path, timing=timing)
    assert "class=timebar" not in text and all(f"<dt>{name}</dt>" in text for name in timing)
    assert "class=timebar" in page(tmp_path)
