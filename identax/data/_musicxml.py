"""Piano rolls out of MusicXML, compressed (.mxl) or not, without a music library."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_LARGEST = 2**26
"""bytes of an unpacked score; those of chorales have some 2^17 to 2^19"""

_LONGEST = 10_000


def read_roll(path: Path) -> np.ndarray:
    """The notes that sound at every quarter of a score, [quarters, 128] (bool, by MIDI number), all parts together.

    Frame t is what sounds at offset t: a note from a to b is in the frames ceil(a) ... ceil(b) - 1. Pitches are as
    written. Raises `ValueError`, without a word of what to do, for a file that is no MusicXML in parts.
    """
    try:
        root = ElementTree.fromstring(_score(path))
        parts = [list(_notes(part)) for part in root.iter("part")]
    except (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, EOFError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    except (AttributeError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"a note or measure that is incomplete ({error})") from error
    if root.tag != "score-partwise" or not any(parts):
        raise ValueError(f"found <{root.tag}> with {len(parts)} parts, wanted <score-partwise> with notes")
    first, last = min(note[1] for part in parts for note in part), max(note[2] for part in parts for note in part)
    if first < 0 or not 0 < last <= _LONGEST:
        raise ValueError(f"notes from quarter {first} to {last}, wanted 0 to at most {_LONGEST}")
    roll = np.zeros((math.ceil(last), 128), bool)
    for pitch, begin, end in (note for part in parts for note in part if note[0] is not None):
        roll[math.ceil(begin) : math.ceil(end), pitch] = True
    return roll


def _score(path: Path) -> bytes:
    """The file's text, or of an archive the first score, as its container names it."""
    if path.suffix != ".mxl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
        found = next((node for node in container.iter() if node.tag.endswith("rootfile")), None)
        if found is None:
            raise ValueError("a container without a score")
        info = archive.getinfo(found.attrib["full-path"])
        if info.file_size > _LARGEST:
            raise ValueError(f"a score of {info.file_size} bytes, wanted at most {_LARGEST}")
        return archive.read(info)


def _notes(part: ElementTree.Element) -> Iterator[tuple[int | None, Fraction, Fraction]]:
    """(MIDI number, begin, end) of every note of a part in quarters, a rest's number None; ties are notes in a row."""
    divisions, start = 1, Fraction(0)
    for measure in part.iter("measure"):
        now = furthest = before = start
        for node in measure:
            if node.tag == "attributes" and (given := node.findtext("divisions")) is not None:
                divisions = int(given)
            elif node.tag in ("backup", "forward"):
                now += (1 if node.tag == "forward" else -1) * _length(node, divisions)
            elif node.tag == "note" and node.find("grace") is None:
                begin = before if node.find("chord") is not None else now
                end = begin + _length(node, divisions)
                yield _pitch(node), begin, end
                before, now = begin, max(end, now) if node.find("chord") is not None else end
            furthest = max(furthest, now)
        start = furthest


def _length(node: ElementTree.Element, divisions: int) -> Fraction:
    return Fraction(_text(node, "duration")) / divisions


def _pitch(note: ElementTree.Element) -> int | None:
    pitch = note.find("pitch")
    if pitch is None:
        return None
    number = 12 * (int(_text(pitch, "octave")) + 1) + _STEPS[_text(pitch, "step")]
    number += round(float(pitch.findtext("alter") or 0))
    if not 0 <= number < 128:
        raise ValueError(f"a note of MIDI number {number}, wanted 0 to 127")
    return number


def _text(node: ElementTree.Element, name: str) -> str:
    text = node.findtext(name)
    if text is None:
        raise KeyError(name)
    return text
