"""What the soak of kills calls the same, and that it finds what is not."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.kills import _moment, differences


@pytest.fixture
def pair(tmp_path):
    """Two finished run directories that differ in times only."""
    whole, found = tmp_path / "whole", tmp_path / "found"
    (whole / "arm/arrays").mkdir(parents=True)
    (whole / "arm/records.jsonl").write_text('{"step": 1}\n')
    (whole / "arm/config.json").write_text("{}")
    np.savez(whole / "arm/trials.npz", seeds=np.arange(3))
    np.save(whole / "arm/arrays/draws.npy", np.ones(2))
    (whole / "report.html").write_text("<p>1 s")
    (whole / "experiment.json").write_text("{}")
    (whole / "summary.json").write_text(json.dumps({"seconds": 1.0, "measured": {"x": [1.0]}}))
    shutil.copytree(whole, found)
    (found / "report.html").write_text("<p>2 s")
    (found / "summary.json").write_text(json.dumps({"seconds": 2.0, "measured": {"x": [1.0]}}))
    return found, whole


def test_times_are_no_difference(pair):
    assert differences(*pair) == []


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("arm/records.jsonl", lambda path: path.write_text('{"step": 1}\n{"step": 2}\n')),
        ("arm/trials.npz", lambda path: np.savez(path, seeds=np.arange(3) + 1)),
        ("arm/arrays/draws.npy", lambda path: np.save(path, np.zeros(2))),
        ("arm/arrays/more.npy", lambda path: np.save(path, np.zeros(2))),
        ("report.html", lambda path: path.write_text("")),
        ("summary.json", lambda path: path.write_text(json.dumps({"seconds": 2.0, "measured": {"x": [1.1]}}))),
        ("summary.json", lambda path: path.unlink()),
    ],
)
def test_anything_else_is(pair, name, spoil):
    spoil(pair[0] / name)
    assert differences(*pair) == [name]


def test_the_folder_tells_the_moment(pair, tmp_path):
    folder = pair[0]
    assert _moment(tmp_path / "nowhere") == "before the folder" and _moment(folder) == "writing the page"
    (folder / "summary.json").unlink()
    assert _moment(folder) == "training"
    (folder / "arm/checkpoints/10").mkdir(parents=True)
    assert _moment(folder) == "saving"
    (folder / "arm/checkpoints/10/manifest.json").touch()
    (folder / "arm/records.jsonl").unlink()
    assert _moment(folder) == "before the first row of an arm"
