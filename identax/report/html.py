"""The parts a report page is made of. Everything that enters from outside is escaped here."""

import html as _stdlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.report.css import CSS

Number = float | int | np.floating | np.integer

# Nothing may be fetched, whatever slips into the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def escape(value: Any) -> str:
    """`value` as text that is safe inside elements and quoted attributes."""
    return _stdlib.escape(str(value), quote=True)


def inline(text: str) -> str:
    """Escapes `text` and sets what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def format_value(value: Any) -> str:
    """A cell's value as plain text: numbers with 4 significant digits, arrays as lists, None as a dash."""
    if value is None:
        return "—"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, np.ndarray | list | tuple) and not isinstance(value, str):
        return ", ".join(map(format_value, value))
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(entry)}" for name, entry in value.items())
    return str(value)


def format_mean_sd(mean: Number, sd: Number | None) -> str:
    """`0.9934 ± 0.0011`: as many places as the two leading digits of the sd need, at most 6."""
    mean, sd = float(mean), None if sd is None else float(sd)
    if sd is None or not math.isfinite(sd) or not math.isfinite(mean):
        return format_value(mean)
    if sd == 0:
        return f"{format_value(mean)} ± 0"
    places = min(6, max(0, 1 - math.floor(math.log10(sd))))
    if abs(mean) >= 1e6 or sd < 1e-6:
        return f"{mean:.4g} ± {sd:.2g}"
    return f"{mean:.{places}f} ± {sd:.{places}f}"


def page(title: str, body: str) -> str:
    """The whole document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def header(title: str, subtitle: str, environment: Mapping[str, Any]) -> str:
    """Title, subtitle and one line on where and when."""
    facts = [str(environment.get("time_utc") or "").replace("T", " ").replace("+00:00", " UTC")]
    devices = environment.get("devices")
    if isinstance(devices, Mapping):
        facts.append(", ".join(f"{count} × {kind}" for kind, count in devices.items()))
    if environment.get("commit"):
        changed = " with local changes" if environment.get("dirty") else ""
        facts.append(f"commit {str(environment['commit'])[:10]}{changed}")
    line = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    return (
        f"<header>\n<h1>{escape(title)}</h1>\n<p class=lead>{inline(subtitle)}</p>\n"
        f"<p class=facts>{line}</p>\n</header>\n"
    )


def verdict(tone: str, headline: str, lines: Sequence[str]) -> str:
    """The headline box; `tone` is good, bad or none."""
    sign = {"good": "✓", "bad": "✗"}.get(tone, "–")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<div class="verdict {tone}"><span class=sign aria-hidden=true>{sign}</span>'
        f"<div><strong>{escape(headline)}</strong>{f'<ul>{items}</ul>' if items else ''}</div></div>\n"
    )


def section(title: str, body: str) -> str:
    """A titled block; nothing at all when it would be empty."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}</section>\n" if body else ""


def columns(*blocks: str) -> str:
    """Blocks side by side where the screen is wide enough."""
    return f"<div class=columns>\n{''.join(blocks)}</div>\n"


def paragraphs(text: str) -> str:
    """Paragraphs separated by empty lines."""
    blocks = (block.strip() for block in re.split(r"\n\s*\n", text))
    return "".join(f"<p>{inline(block)}</p>\n" for block in blocks if block)


def mark(value: bool | None, words: tuple[str, str, str] = ("yes", "no", "—")) -> str:
    """A coloured mark with a word, so that colour is never the only sign."""
    if value is None:
        return f'<span class="mark none">{escape(words[2])}</span>'
    tone, text = ("good", f"✓ {words[0]}") if value else ("bad", f"✗ {words[1]}")
    return f'<span class="mark {tone}">{escape(text)}</span>'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], bad: Sequence[bool] = ()) -> str:
    """A table that scrolls sideways on its own; rows with `bad` are tinted."""
    flags = [*bad, *[False] * (len(rows) - len(bad))]
    cells = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr{' class=failed' if flag else ''}>{''.join(map(_cell, row))}</tr>\n"
        for row, flag in zip(rows, flags, strict=True)
    )
    title = f"<caption>{inline(caption)}</caption>" if caption else ""
    return f"<div class=scroll><table>{title}<thead><tr>{cells}</tr></thead>\n<tbody>{lines}</tbody></table></div>\n"


def cards_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of ready-made HTML cells whose rows become cards on a narrow screen."""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in rows[0])
    lines = "".join(
        "<tr>" + "".join(f'<td data-label="{escape(name)}">{cell}</td>' for name, cell in row.items()) + "</tr>\n"
        for row in rows
    )
    return f"<table class=cards><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table>\n"


def figure(caption: str, base64_png: str, width: int) -> str:
    """A picture inside the page with its caption."""
    return (
        f'<figure style="max-width:{width + 34}px"><img width={width} alt="{escape(caption)}" '
        f'src="data:image/png;base64,{base64_png}"><figcaption>{inline(caption)}</figcaption></figure>\n'
    )


def key_values(values: Any) -> str:
    """A nested mapping as one flat list `a.b  value`."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(format_value(value))}</dd></div>\n"
        for name, value in _flatten(values)
    )
    return f"<dl>{rows}</dl>\n" if rows else ""


def timing(values: Mapping[str, Any]) -> str:
    """Compile and run time as two parts of one bar where both are given in seconds; the rest as a list."""
    try:
        compiling, running = float(values["compile"]), float(values["run"])
    except (KeyError, TypeError, ValueError):
        return key_values(values)
    total = compiling + running
    if not (math.isfinite(total) and compiling >= 0 and running >= 0 and total > 0):
        return key_values(values)
    share = 100 * compiling / total
    return (
        f'<div class=timebar role=img aria-label="compile {share:.0f} %, run {100 - share:.0f} %">'
        f'<i style="width:{share:.2f}%"></i></div>\n'
        f"<p class=timekey><span>compile {compiling:.3g} s</span><span>run {running:.3g} s</span></p>\n"
        + key_values({name: value for name, value in values.items() if name not in ("compile", "run")})
    )


def band_strip(mean: Number, sd: Number, low: Number | None, high: Number | None, good: bool | None) -> str:
    """A small drawing: the band as a bar, our mean as a dot and mean +- sd as a whisker."""
    if good is None or not math.isfinite(mean):
        return ""
    mean, sd = float(mean), float(sd) if math.isfinite(sd) else 0.0
    known = [mean - sd, mean + sd, *(float(edge) for edge in (low, high) if edge is not None)]
    width = (max(known) - min(known)) or abs(mean) or 1.0
    left, right = min(known) - 0.25 * width, max(known) + 0.25 * width

    def at(value: Number) -> float:
        return 2 + 116 * (float(value) - left) / (right - left)

    start, end = at(left if low is None else low), at(right if high is None else high)
    return (
        '<svg class=strip viewBox="0 0 120 14" aria-hidden=true>'
        '<line class=rail x1="2" x2="118" y1="7" y2="7"/>'
        f'<rect class=band x="{start:.1f}" y="2" width="{max(end - start, 1):.1f}" height="10" rx="2"/>'
        f'<line class=whisker x1="{at(mean - sd):.1f}" x2="{at(mean + sd):.1f}" y1="7" y2="7"/>'
        f'<circle class={"good" if good else "bad"} cx="{at(mean):.1f}" cy="7" r="4"/></svg>'
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return f"<td>{mark(bool(value))}</td>"
    number = isinstance(value, int | float | np.number | np.ndarray)
    return f"<td{' class=number' if number else ''}>{inline(format_value(value))}</td>"


def _flatten(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(values, Mapping):
        values = json.loads(json.dumps(values, default=str))
        return [(prefix or "value", values)]
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        rows += _flatten(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return rows
