"""Trials without steps: stopped, killed and damaged runs go on bit for bit or say what to do; trials that fail."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from block_trials import TOTAL, failing, go, host_trial, same_results, signal_at_row, trial, trials

from identax.run import Interrupted
from identax.run.host_trials import HostBlocks
from identax.run.program import Programs
from identax.run.records import read_rows
from identax.run.saved import finished_rows
from identax.study import HostTrial, Trials


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted runs."""
    folder = tmp_path_factory.mktemp("whole")
    return {"compiled": go(workdir=folder / "compiled"), "host": go(host_trial(), workdir=folder / "host")}


@pytest.mark.parametrize("kind", ["compiled", "host"])
def test_a_signal_stops_at_the_end_of_the_block_and_resumed_is_uninterrupted(whole, kind, tmp_path):
    study = trial if kind == "compiled" else host_trial()
    with pytest.raises(Interrupted, match="interrupted after 8 of 11 trials: saved; continue with --resume") as stopped:
        with signal_at_row(5):
            go(study, workdir=tmp_path / "run")
    assert stopped.value.code == 75 and stopped.value.step == 8
    assert len(read_rows(tmp_path / "run/records.jsonl")) == 8
    same_results(go(study, workdir=tmp_path / "run", resume=True), whole[kind])


def test_without_a_workdir_nothing_is_saved():
    with pytest.raises(Interrupted, match="after 4 of 11 trials: nothing saved"), signal_at_row(0):
        go()


@pytest.mark.parametrize(("kind", "row"), [("compiled", 10), ("host", 8)])
def test_a_signal_in_the_last_block_is_answered_when_all_is_saved(whole, kind, row, tmp_path):
    study = trial if kind == "compiled" else host_trial()
    with pytest.raises(Interrupted, match="after 11 of 11 trials: saved"), signal_at_row(row):
        go(study, workdir=tmp_path / "run")
    never = HostTrial(lambda key, hparams: pytest.fail("a trial ran"))
    same_results(go(never, workdir=tmp_path / "run", resume=True), whole[kind])


def test_a_signal_before_the_first_block_is_answered_there(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="after 0 of 11 trials: saved"):
        patch.setattr(HostBlocks, "open", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        go(host_trial(), workdir=tmp_path / "run")
    same_results(go(host_trial(), workdir=tmp_path / "run", resume=True), whole["host"])


def test_a_resumed_run_keeps_the_size_of_its_blocks(tmp_path, monkeypatch):
    # 11 trials of two groups: one block of 12, or, had there been less memory, blocks of 6.
    sizes = []
    run_block = Programs.start
    monkeypatch.setattr(
        Programs, "start", lambda self, keys, *rest: sizes.append(len(keys)) or run_block(self, keys, *rest)
    )
    with pytest.raises(Interrupted), signal_at_row(0):
        go(workdir=tmp_path / "run")
    go(workdir=tmp_path / "run", resume=True, block_size=None)
    assert sizes == [4, 4, 4]
    with pytest.raises(Interrupted), signal_at_row(0):
        go(workdir=tmp_path / "other")
    go(workdir=tmp_path / "other", resume=True, block_size=8)
    go(workdir=tmp_path / "other", resume=True, block_size=8)
    assert sizes == [4, 4, 4, 4, 8]


def test_a_finished_run_computes_nothing(whole, monkeypatch):
    monkeypatch.setattr(Programs, "_call", lambda *_: pytest.fail("a program ran"))

    def never(key, hparams):
        pytest.fail("a trial ran")

    for kind, study in (("compiled", never), ("host", HostTrial(never))):
        before = {path: path.stat().st_mtime_ns for path in whole[kind].workdir.rglob("*") if path.is_file()}
        same_results(go(study, workdir=whole[kind].workdir, resume=True), whole[kind])
        assert before == {path: path.stat().st_mtime_ns for path in whole[kind].workdir.rglob("*") if path.is_file()}


def test_other_trials_and_another_config_are_refused(whole):
    folder = whole["host"].workdir
    with pytest.raises(ValueError, match=r"hparams.scale: 11 of 11 differ, the first: there 2., here 3."):
        go(host_trial(), trials(scale=3.0), workdir=folder, resume=True)
    with pytest.raises(ValueError, match="trials: there 11, here 4"):
        go(host_trial(), trials()[:4], workdir=folder, resume=True)
    with pytest.raises(ValueError, match=r"config\.dim"):
        go(host_trial(), workdir=folder, resume=True, config={"dim": 3})
    with pytest.raises(ValueError, match="holds a run already"):
        go(host_trial(), workdir=folder)


ENDS = {"term": (signal.SIGTERM, "host", 5), "kill": (signal.SIGKILL, "compiled", 6)}
"""how a process ends: the signal, the kind of trial, and the trial at whose row it comes"""
_CHILD = """
import os, sys
sys.path.insert(0, {here!r})
import jax, pytest, identax.run
for name, (code, kind, number) in {ends!r}.items():
    pid = os.fork()  # before JAX starts its threads
    if pid == 0:
        import block_trials as t
        end = 1
        try:
            with t.signal_at_row(number, code):
                t.go(t.trial if kind == "compiled" else t.host_trial(), workdir=sys.argv[1] + "/" + name)
            end = 0
        except SystemExit as error:
            end = error.code
        finally:
            os._exit(end)
    print(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder of runs in processes of their own that a signal ended, and their exit codes."""
    folder = tmp_path_factory.mktemp("killed")
    ends = {name: (int(code), kind, number) for name, (code, kind, number) in ENDS.items()}
    program = _CHILD.format(here=str(Path(__file__).parent), ends=ends)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    return folder, {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}


@pytest.mark.parametrize(("name", "code", "rows", "done"), [("term", 75, 8, 8), ("kill", -signal.SIGKILL, 7, 4)])
def test_a_run_that_was_ended_goes_on_bit_for_bit(killed, whole, name, code, rows, done):
    folder, codes = killed
    kind = ENDS[name][1]
    assert codes[name] == code
    assert len(read_rows(folder / name / "records.jsonl")) == rows  # of SIGKILL in the middle of the second block
    assert json.loads((folder / name / "blocks.json").read_text())["done"] == done
    same_results(go(trial if kind == "compiled" else host_trial(), workdir=folder / name, resume=True), whole[kind])


@pytest.fixture
def stopped(tmp_path):
    """A run on the host that was stopped after 8 trials."""
    with contextlib.suppress(Interrupted), signal_at_row(5):
        go(host_trial(), workdir=tmp_path / "run")
    return tmp_path / "run"


SET_ASIDE = "starts over; what it had is in set-aside-1/"


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def _edit_done(path):
    path.write_text(path.read_text().replace('"done": 8', '"done": 6'))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("records.jsonl", _flip, "the first 8 rows of .*records.jsonl are not those that were written"),
        ("records.jsonl", lambda path: path.write_bytes(path.read_bytes()[:-5]), "the first 8 rows of"),
        ("records.jsonl", lambda path: path.unlink(), "the first 8 rows of"),
        ("blocks.json", lambda path: path.write_text("{"), "blocks.json is damaged"),
        ("blocks.json", lambda path: path.write_text('{"done": 8, "bytes": 9}'), "blocks.json is damaged"),
        ("blocks.json", _edit_done, "the first 6 rows of"),
    ],
    ids=["flipped", "truncated", "missing", "no json", "half", "edited"],
)
def test_damaged_records_are_refused_and_say_what_to_do(stopped, whole, file, damage, message):
    damage(stopped / file)
    before = {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    with pytest.raises(
        ValueError, match=message + ".*; put back .* or delete blocks.json to compute every trial again"
    ):
        go(host_trial(), workdir=stopped, resume=True)
    assert before == {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    (stopped / "blocks.json").unlink()
    np.save(stopped / "arrays/draws@0.npy", np.ones((2, 3)))  # of code that has changed
    had_rows = "records.jsonl" in before
    with pytest.warns(RuntimeWarning, match=SET_ASIDE) if had_rows else contextlib.nullcontext():
        found = go(host_trial(), workdir=stopped, resume=True)
    same_results(found, whole["host"])


def test_rows_that_no_block_covers_are_not_erased(stopped, whole):
    (stopped / "blocks.json").unlink()
    before = (stopped / "records.jsonl").read_bytes()
    with pytest.warns(RuntimeWarning, match=SET_ASIDE):
        same_results(go(host_trial(), workdir=stopped, resume=True), whole["host"])
    assert (stopped / "set-aside-1/records.jsonl").read_bytes() == before


def test_rows_behind_the_last_block_are_cut(stopped, whole):
    with (stopped / "records.jsonl").open("ab") as file:
        file.write(b'{"kind": "trial", "trial": 8, "metrics": {}}\n{"kind"')
    same_results(go(host_trial(), workdir=stopped, resume=True), whole["host"])


def test_a_lost_array_is_refused(stopped):
    (stopped / "arrays/draws@0.npy").unlink()
    with pytest.raises(ValueError, match="lacks the kept array 'draws'"):
        go(host_trial(), workdir=stopped, resume=True)


@pytest.mark.parametrize("kind", ["compiled", "host"])
def test_what_was_changed_in_a_finished_run_is_found(whole, kind, tmp_path):
    folder = shutil.copytree(whole[kind].workdir, tmp_path / "run")
    assert finished_rows(folder, 0, TOTAL) == read_rows(folder / "records.jsonl")
    path = folder / "arrays/draws@0.npy"
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"draws@0.npy is missing or not as the run wrote it"):
        finished_rows(folder, 0, TOTAL)
    path.write_bytes(intact)
    _flip(folder / "records.jsonl")
    with pytest.raises(ValueError, match=r"records.jsonl"):
        finished_rows(folder, 0, TOTAL)


# --- failures


FAILED = (0, 4, 5, 6, 7)  # one of the first block, and the whole second one


def failing_trial(*args):
    return host_trial(failing(*args))


@pytest.mark.parametrize("workdir", [True, False])
def test_a_failed_trial_is_told_once_and_disturbs_nobody(whole, tmp_path, workdir):
    where = {"workdir": tmp_path / "run"} if workdir else {}
    with pytest.warns(RuntimeWarning) as told:
        found = go(failing_trial(FAILED), **where)
    assert [str(one.message) for one in told] == [
        f"trial {number} (seed {number}) failed: LinAlgError: Singular matrix" for number in FAILED
    ]
    wanted = whole["host"]
    others = np.isin(np.arange(TOTAL), FAILED, invert=True)
    assert found.failed_at.tolist() == [1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    for name in ("sd", "ends/low"):
        np.testing.assert_array_equal(np.isnan(found.final(name)), ~others)
        np.testing.assert_array_equal(found.final(name)[others], wanted.final(name)[others])
    for name, blank in (("draws", np.nan), ("above", False)):
        np.testing.assert_array_equal(found.arrays[name][0][others], wanted.arrays[name][0][others])
        np.testing.assert_array_equal(found.arrays[name][0][~others], np.full((5, 20), blank))
    if workdir:
        assert [row.get("failed") for row in read_rows(tmp_path / "run/records.jsonl")][
            6
        ] == "LinAlgError: Singular matrix"
        same_results(go(failing_trial(set()), workdir=tmp_path / "run", resume=True), found)  # it has finished


def test_a_failed_trial_stays_failed_in_a_resumed_run(tmp_path):
    with pytest.warns(RuntimeWarning), pytest.raises(Interrupted), signal_at_row(2):
        go(failing_trial({1}), workdir=tmp_path / "run")
    found = go(failing_trial({1}), workdir=tmp_path / "run", resume=True)
    assert np.flatnonzero(found.failed_at).tolist() == [1] and np.isnan(found.final("sd")[1])
    assert np.isnan(found.arrays["draws"][0][1]).all()


def test_other_exceptions_end_the_run(tmp_path):
    with pytest.raises(TypeError, match="a mistake"):
        go(failing_trial({5}, TypeError("a mistake")), workdir=tmp_path / "run")
    assert json.loads((tmp_path / "run/blocks.json").read_text())["done"] == 4


@pytest.mark.parametrize("block_size", [1, 4])
def test_a_first_block_that_fails_is_a_mistake(block_size):
    others = ", and so did all 4 of the first block" if block_size == 4 else ""
    with pytest.raises(ValueError, match=f"run: trial 0 failed{others}: ZeroDivisionError: no data") as refusal:
        go(failing_trial(range(block_size), ZeroDivisionError("no data")), block_size=block_size)
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)


def test_a_compiled_trial_that_gives_nan_has_not_failed():
    found = go(lambda key, hparams: {"log": jnp.log(hparams["sign"]), "one": 1.0}, Trials.grid(2, sign=[-1.0, 1.0]))
    assert np.isnan(found.final("log")).tolist() == [True, True, False, False] and (found.final("one") == 1).all()
    assert found.failed_at.tolist() == [0] * 4
