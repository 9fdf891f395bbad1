"""Run directories with damaged or missing files: nothing is lost without a word, and no more than must be."""

import json
import re
import shutil

import pytest
from test_resume import Signal, assert_uninterrupted, train

from identax.run import Interrupted
from identax.run.checkpoint import _seal
from identax.run.program import Programs
from identax.run.records import read_rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    return train(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole.workdir, tmp_path / "run")


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "flipped": _flip,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(whole, copy, damage):
    files = [p for p in (copy / "checkpoints/40/tree").rglob("*") if p.is_file() and p.stat().st_size > 100]
    DAMAGE[damage](max(files, key=lambda p: p.stat().st_size))
    with pytest.warns(RuntimeWarning, match="checkpoint 40 is unusable: .* missing or damaged; trying checkpoint 30"):
        found = train(copy, resume=True)
    assert_uninterrupted(found, whole)


STARTED_OVER = "checkpoint .* is unusable|starts over; what it had is in set-aside-1/"


def test_no_usable_checkpoint_starts_from_the_beginning(whole, copy):
    before = (copy / "records.jsonl").read_bytes()
    for step in (30, 40):
        (copy / f"checkpoints/{step}/manifest.json").unlink()
    with pytest.warns(RuntimeWarning, match=STARTED_OVER):
        found = train(copy, resume=True)
    assert_uninterrupted(found, whole)
    assert (copy / "set-aside-1/records.jsonl").read_bytes() == before
    assert sorted(path.name for path in (copy / "set-aside-1/checkpoints").iterdir()) == ["30", "40"]


def test_checkpoints_of_a_run_that_started_over_are_kept(whole, copy):
    for step in (30, 40):
        _flip(next(path for path in (copy / f"checkpoints/{step}").rglob("*") if path.name == "manifest.json"))
    with pytest.warns(RuntimeWarning, match=STARTED_OVER), pytest.raises(Interrupted) as stopped:
        train(copy, resume=True, sinks=[Signal(5)])
    assert [path.name for path in (copy / "checkpoints").iterdir()] == [str(stopped.value.step)]
    assert_uninterrupted(train(copy, resume=True), whole)


def _change_a_digit(lines):
    lines[-3] = lines[-3].replace("1", "2", 1)


def _swap(lines):
    lines[-3], lines[-2] = lines[-2], lines[-3]


def _lose(lines):
    del lines[-3]


def _garble(lines):
    lines[-3] = "\x00garbage"


@pytest.mark.parametrize("change", [_change_a_digit, _swap, _lose, _garble])
def test_changed_rows_cost_the_checkpoints_behind_them_alone(whole, copy, change):
    lines = (copy / "records.jsonl").read_text().splitlines()
    change(lines)
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"records.jsonl line 1[23]: found .* run with --resume"):
        read_rows(copy / "records.jsonl")
    with pytest.warns(RuntimeWarning, match=r"checkpoint 40 is unusable: records.jsonl has .*; trying checkpoint 30"):
        found = train(copy, resume=True)
    assert_uninterrupted(found, whole)


@pytest.mark.parametrize("line", ["\x00garbage", "{}", '{"kind": "train", "step": 3, "metrics": {}}', "["])
def test_a_line_that_is_no_row_costs_nothing(whole, copy, line, monkeypatch):
    lines = (copy / "records.jsonl").read_text().splitlines()
    lines.insert(4, line)
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"records.jsonl line 5: found"):
        read_rows(copy / "records.jsonl")
    monkeypatch.setattr(Programs, "advance", lambda *_: pytest.fail("a step ran"))
    assert_uninterrupted(train(copy, resume=True), whole)


def _as_before_digests(folder):
    """A run directory as earlier versions wrote it."""
    (folder / "saved.json").unlink(missing_ok=True)
    for path in folder.glob("checkpoints/*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["extra"]["digest"]
        manifest["own_sha256"] = _seal(int(path.parent.name), manifest["extra"], manifest["sha256"])
        path.write_text(json.dumps(manifest))
    text = (folder / "records.jsonl").read_text()
    (folder / "records.jsonl").write_text(re.sub(', "digest": "[0-9a-f]{16}"}', "}", text))


@pytest.mark.parametrize("old", [False, True])
def test_rows_that_no_checkpoint_covers_are_not_erased(copy, old):
    shutil.rmtree(copy / "checkpoints")
    if old:
        _as_before_digests(copy)
    before = (copy / "records.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"rows up to step 40, but .*checkpoints holds no checkpoint .*; put the"):
        train(copy, resume=True)
    assert (copy / "records.jsonl").read_bytes() == before


def test_without_rows_a_run_without_checkpoints_starts_over(whole, copy):
    shutil.rmtree(copy / "checkpoints")
    (copy / "records.jsonl").unlink()
    assert_uninterrupted(train(copy, resume=True), whole)


def test_rows_without_digests_are_read_and_resumed(whole, copy):
    _as_before_digests(copy)
    assert read_rows(copy / "records.jsonl") == read_rows(whole.workdir / "records.jsonl")
    assert_uninterrupted(train(copy, resume=True), whole)


def test_a_truncated_last_row_is_written_again(whole, copy):
    path = copy / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-25])
    with pytest.warns(RuntimeWarning, match=r"checkpoint 40 is unusable: records.jsonl has \d+ of its \d+ rows"):
        found = train(copy, resume=True)
    assert_uninterrupted(found, whole)


def test_rows_after_the_checkpoint_are_cut(whole, copy):
    # As a run leaves it that was killed between two checkpoints, in the middle of a row.
    shutil.rmtree(copy / "checkpoints/40")
    with (copy / "records.jsonl").open("ab") as file:
        file.write(b'{"kind": "train", "st')
    assert_uninterrupted(train(copy, resume=True), whole)
