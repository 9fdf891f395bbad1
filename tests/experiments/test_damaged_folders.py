"""Run directories with damaged files: `report` and `--resume` name the file and the way out, and overwrite nothing."""

import json
import re
import shutil

import pytest

from experiments.__main__ import main

pytestmark = pytest.mark.usefixtures("line")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def finished(place, run_line, tmp_path, capsys):
    """A finished run, and a function that gives a fresh copy of it."""
    if not place.exists():
        assert run_line("--arm", "first", workdir=place) == 0
        capsys.readouterr()
    return place, lambda name: shutil.copytree(place, tmp_path / name)


def _lines(change):
    def damage(path):
        lines = path.read_text().splitlines()
        change(lines)
        path.write_text("".join(line + "\n" for line in lines))

    return damage


def _swap(lines):
    lines[2], lines[3] = lines[3], lines[2]


def _change(lines):
    place = lines[3].rindex("]") - 1
    lines[3] = f"{lines[3][:place]}{(int(lines[3][place]) + 1) % 10}{lines[3][place + 1 :]}"


ROWS = {
    "without the last row": _lines(lambda lines: lines.pop()),
    "without the last rows": _lines(lambda lines: lines.__delitem__(slice(-3, None))),
    "half of the last row": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "swapped": _lines(_swap),
    "changed": _lines(_change),
    "garbage": _lines(lambda lines: lines.insert(2, "garbage")),
    "empty": lambda path: path.write_text(""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.filterwarnings("ignore:.*has no digests")
@pytest.mark.filterwarnings("ignore:checkpoint .* is unusable")
@pytest.mark.filterwarnings("ignore:.* starts over")
def test_report_refuses_rows_that_are_not_all_as_they_were_written(finished, run_line, capsys):
    whole, copy = finished
    rows = (whole / "first/records.jsonl").read_bytes()
    for name, damage in ROWS.items():
        folder = copy(name)
        damage(folder / "first/records.jsonl")
        assert (folder / "first/records.jsonl").exists() is (name != "missing")
        assert main(["report", str(folder)]) == 2, name
        error = capsys.readouterr().err
        assert "records.jsonl" in error and "put the file back, or run with --resume" in error
        assert (folder / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
        if name not in ("without the last row", "changed"):
            continue
        assert run_line("--arm", "first", "--resume", workdir=folder) == 0  # the way out
        assert (folder / "first/records.jsonl").read_bytes() == rows
        assert main(["report", str(folder)]) == 0
    capsys.readouterr()


def test_report_of_rows_without_digests_says_so_and_sees_that_the_last_are_missing(finished, capsys):
    folder = finished[1]("old")
    path = folder / "first/records.jsonl"
    path.write_text(re.sub(', "digest": "[0-9a-f]{16}"}', "}", path.read_text()))
    (folder / "first/saved.json").unlink()
    with pytest.warns(RuntimeWarning, match=r"records.jsonl has no digests \(an earlier version wrote it\)"):
        assert main(["report", str(folder)]) == 0
    ROWS["without the last row"](path)
    assert main(["report", str(folder)]) == 2
    assert "its last evaluation at step 8, wanted it at 12" in capsys.readouterr().err


def test_report_refuses_a_run_that_goes_on(finished, run_line, advances, capsys):
    folder = finished[1]("again")
    shutil.rmtree(folder / "first/checkpoints/12")
    advances.stop_at = 1
    (folder / "first/checkpoints/8/manifest.json").unlink()
    with pytest.warns(RuntimeWarning, match="unusable|starts over"):
        assert run_line("--arm", "first", "--resume", workdir=folder) == 75
    assert main(["report", str(folder)]) == 2
    assert "records.jsonl has its last evaluation at step" in capsys.readouterr().err


CONTENTS = [b"", b"{", b"\xff\xfe\x00", b"[]", b"{}", b'{"config": 3, "failed_at": 3}', b"[" * 100_000]
FILES = ["experiment.json", "summary.json", "premises.json", "first/config.json", "first/saved.json"]


def test_a_config_that_was_changed_by_hand_is_blamed_itself(finished, capsys):
    folder = finished[1]("by hand")
    record = json.loads((folder / "experiment.json").read_text())
    record["config"]["config"]["learning_rate"] = "fast"
    (folder / "experiment.json").write_text(json.dumps(record))
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "experiment.json is damaged" in error and "summary.json" not in error


def test_damaged_json_is_named_with_the_way_out(finished, run_line, capsys):
    copy = finished[1]
    folder = copy("copy")
    for file in FILES:
        before = (folder / file).read_bytes()
        for content in CONTENTS:
            if file == "premises.json" and content[:1] + content[-1:] == b"{}":
                continue  # nothing said of any arm
            (folder / file).write_bytes(content)
            assert main(["report", str(folder)]) == 2, (file, content[:9])
            error = capsys.readouterr().err
            assert f"{file} is damaged" in error and "delete it" in error and error.count("\n") == 1
            if file not in ("summary.json", "first/saved.json") and content in CONTENTS[2:4]:
                assert run_line("--arm", "first", "--resume", workdir=folder) == 2, (file, content[:9])
                error = capsys.readouterr().err
                assert f"{file} is damaged" in error and "delete it and run with --resume" in error
        (folder / file).write_bytes(before)
    for file in FILES:
        (folder / file).unlink()
    assert run_line("--arm", "first", "--resume", workdir=folder) == 0  # the way out
    assert main(["report", str(folder)]) == 0
    assert all((folder / file).exists() for file in FILES if file != "first/saved.json")
