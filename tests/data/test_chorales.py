"""Chorales: scores that the test writes, read note by note; parts without a melody in two; damaged files."""

import sys
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

from identax.data import chorales as module
from identax.data import load_chorales, split_chorales

CONTAINER = '<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'


def note(pitch, quarters, *, extra="", divisions=4):
    """<note>: C4 is "C4", a sharp "F#4", "r" a rest."""
    inner = "<rest/>"
    if pitch != "r":
        alter = "<alter>1</alter>" * ("#" in pitch)
        inner = f"<pitch><step>{pitch[0]}</step>{alter}<octave>{pitch[-1]}</octave></pitch>"
    return f"<note>{extra}{inner}<duration>{round(quarters * divisions)}</duration></note>"


def score(*parts, divisions=4):
    """Parts of measures, each the text of its notes."""
    body = ""
    for part in parts:
        start = f"<attributes><divisions>{divisions}</divisions></attributes>"
        body += (
            "<part>"
            + "".join(f"<measure>{start * (n == 0)}{notes}</measure>" for n, notes in enumerate(part))
            + "</part>"
        )
    return f'<?xml version="1.0"?><score-partwise>{body}</score-partwise>'


def write(path, text, container=CONTAINER):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("score.xml", text)
    return path


SIMPLE = score(
    # A pickup of one quarter, two eighths, a tie over the bar line, a chord, a second voice behind a backup.
    [
        note("C4", 1),
        note("D4", 0.5) + note("E4", 0.5) + note("F#4", 1.5) + note("G4", 0.5) + note("A4", 1, extra="<tie/>"),
        note("A4", 1, extra="<tie/>") + note("C5", 1, extra="<chord/>") + note("r", 1),
    ],
    [
        note("C3", 1),
        note("C3", 4) + "<backup><duration>16</duration></backup><forward><duration>4</duration></forward>"
        + note("G3", 1.5) + '<note><grace/><pitch><step>B</step><octave>2</octave></pitch></note>',
        note("r", 2),
    ],
)  # fmt: skip
FRAMES = [[60, 48], [62, 48], [66, 48, 55], [66, 48, 55], [69, 48], [69, 72], []]


def test_a_score_is_read_note_by_note(tmp_path):
    for number, octave in enumerate("345"):  # three melodies: the intervals of the first voice are the file's
        write(
            tmp_path / f"{number}.mxl",
            SIMPLE.replace("<step>F</step><alter>1</alter><octave>4", f"<step>B</step><octave>{octave}"),
        )
    (tmp_path / "notes.txt").write_text("no score")
    parts = load_chorales(tmp_path)
    assert [len(part) for part in parts] == [1, 1, 1]
    write(tmp_path / "3.mxl", SIMPLE)
    (tmp_path / "4.xml").write_text(SIMPLE)
    rolls = [roll for part in load_chorales(tmp_path) for roll in part]
    wanted = np.zeros((7, 88), np.uint8)
    for frame, pitches in enumerate(FRAMES):
        wanted[frame, np.array(pitches, int) - 21] = 1
    assert sum(np.array_equal(roll, wanted) for roll in rolls) == 2 and rolls[0].dtype == np.uint8


def test_settings_of_a_melody_stay_together():
    rng = np.random.default_rng(0)
    rolls = []
    for key in rng.integers(30, 50, 40):
        melody = key + np.cumsum(rng.integers(-2, 3, 20))
        for shift in (0, 3):  # transposed, with another bass
            roll = np.zeros((20, 88), np.uint8)
            roll[np.arange(20), np.clip(melody + shift, 20, 80)] = 1
            roll[:, rng.integers(0, 15)] = 1
            rolls.append(roll)
    parts = split_chorales(rolls, 3)
    assert [len(part) for part in parts] == [48, 16, 16]
    where = {roll.tobytes(): part for part, found in enumerate(parts) for roll in found}
    assert len(where) == 80 and all(where[rolls[i].tobytes()] == where[rolls[i + 1].tobytes()] for i in range(0, 80, 2))
    again, other = split_chorales(rolls, 3), split_chorales(rolls, 4)
    np.testing.assert_array_equal(np.stack(again.test), np.stack(parts.test))
    assert not np.array_equal(np.stack(other.test), np.stack(parts.test))


def test_the_package_is_parsed_once(tmp_path, monkeypatch):
    """A stand-in of the package's form: a list of names with one twice, and names without their edition's suffix."""
    corpus = tmp_path / "music21" / "corpus"
    (corpus / "bach").mkdir(parents=True)
    for folder in (corpus.parent, corpus):
        (folder / "__init__.py").touch()
    names = ["bach/bwv1", "bach/bwv2.5-l", "bach/bwv3", "bach/bwv1"]
    (corpus / "chorales.py").write_text(f"def Iterator(returnType):\n    return {names}\n")
    for name, octave in (("bwv1", 3), ("bwv1-a", 9), ("bwv2.5-lz", 4), ("bwv3", 5)):
        pitch = f"<step>B</step><octave>{octave}"
        write(corpus / "bach" / f"{name}.mxl", SIMPLE.replace("<step>F</step><alter>1</alter><octave>4", pitch))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "10.0")
    for name in [name for name in sys.modules if name.split(".")[0] == "music21"]:
        monkeypatch.delitem(sys.modules, name)
    first = load_chorales(cache=tmp_path / "kept")
    assert [len(part) for part in first] == [1, 1, 1]
    monkeypatch.setattr(module, "read_roll", lambda path: pytest.fail("parsed again"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kept").rename(tmp_path / "identax")
    again = load_chorales()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "10.0")
    kept = tmp_path / "identax" / "chorales-music21-10.0.npz"
    kept.write_bytes(kept.read_bytes()[:300])
    assert [len(part) for part in load_chorales(cache=tmp_path / "identax")] == [1, 1, 1]
    assert len(kept.read_bytes()) > 300
    for name in [name for name in sys.modules if name.split(".")[0] == "music21"]:
        monkeypatch.delitem(sys.modules, name)


def published(path, change=lambda parts: None):
    rng = np.random.default_rng(1)
    parts = {}
    for name, num in (("traindata", 3), ("validdata", 2), ("testdata", 2)):
        parts[name] = np.empty((1, num), object)
        for i in range(num):
            parts[name][0, i] = rng.integers(0, 2, (4 + i, 88)).astype(np.uint8)
    change(parts)
    savemat(path, parts)
    return path, parts


def test_the_published_file_keeps_its_parts(tmp_path):
    path, parts = published(tmp_path / "JSB_Chorales.mat")
    found = load_chorales(path)
    assert [len(part) for part in found] == [3, 2, 2]
    np.testing.assert_array_equal(found.train[2], parts["traindata"][0, 2])
    np.testing.assert_array_equal(found.test[1], parts["testdata"][0, 1])


def test_missing_files_and_packages_say_what_to_run(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no folder or .mat file .*nothing; .*pip install 'music21>=10'"):
        load_chorales(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"found 0 scores in .*, wanted three or more"):
        load_chorales(tmp_path)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"no package music21.* run: pip install 'music21>=10'"):
        load_chorales()


@pytest.mark.parametrize(
    "damage, wanted",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "BadZipFile"),
        (lambda path: write(path, SIMPLE[:-40]), "ParseError"),
        (lambda path: write(path, "<score-timewise/>"), "found <score-timewise> with 0 parts"),
        (lambda path: write(path, SIMPLE, "<container/>"), "a container without a score"),
        (lambda path: write(path, SIMPLE.replace("<duration>4</duration>", "", 1)), "a note or measure"),
        (lambda path: write(path, SIMPLE.replace("<step>C", "<step>H", 1)), "a note or measure"),
        (lambda path: write(path, SIMPLE.replace("<octave>4", "<octave>40", 1)), "MIDI number 492"),
        (
            lambda path: write(path, SIMPLE.replace("<duration>16</duration></b", "<duration>99</duration></b", 1)),
            "from",
        ),
        (lambda path: write(path, SIMPLE.replace("<duration>4</duration>", "<duration>9e9</duration>", 1)), "at most"),
        (lambda path: write(path, SIMPLE, CONTAINER.replace("score.xml", "other.xml")), "a note or measure|no item"),
    ],
)
def test_damaged_scores_are_refused(tmp_path, damage, wanted):
    for name in "abc":
        write(tmp_path / f"{name}.mxl", SIMPLE)
    damage(tmp_path / "b.mxl")
    with pytest.raises(ValueError, match=rf"b.mxl is no score in MusicXML \(.*({wanted}).*take it out of"):
        load_chorales(tmp_path)


def _wide(parts):
    parts["validdata"][0, 1] = np.zeros((3, 87), np.uint8)


def _grey(parts):
    parts["testdata"][0, 0] = np.full((3, 88), 2, np.uint8)


@pytest.mark.parametrize(
    "change, wanted", [(_wide, r"shape \(3, 87\)"), (_grey, "of 0 and 1"), (lambda p: p.pop("testdata"), "KeyError")]
)
def test_another_mat_file_is_refused(tmp_path, change, wanted):
    path, _ = published(tmp_path / "x.mat", change)
    with pytest.raises(ValueError, match=rf"x.mat is not the published JSB Chorales \(.*{wanted}.*copy it there again"):
        load_chorales(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not the published JSB Chorales"):
        load_chorales(path)


def test_too_few_melodies_and_other_rolls_are_refused():
    with pytest.raises(ValueError, match="found 1 melodies in 4 rolls"):
        split_chorales([np.eye(5, 88)] * 4)
    with pytest.raises(ValueError, match=r"rolls of \[\(87,\)\], wanted \[L, 88\]"):
        split_chorales([np.eye(5, 87)] * 4)
