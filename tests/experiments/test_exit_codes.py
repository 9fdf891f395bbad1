"""What a process ends with: errors nobody foresaw, streams that break, trials that fail."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.streams import Steady
from identax.experiment import Arm
from identax.report.outcome import Reference, compare, read_outcome
from identax.report.page import Comparison
from identax.run import guard

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("gone"), 70, "error: KeyError: 'gone' (--debug shows where; what was saved is intact)\n"),
        (MemoryError(), 70, "error: MemoryError:  (--debug shows where; what was saved is intact)\n"),
        (OSError(28, "No space left"), 70, "error: OSError: [Errno 28] No space left (--debug"),
        (RuntimeError("two\nlines " + "x" * 400), 70, "error: RuntimeError: two lines x"),
        (FileNotFoundError("no such set"), 2, "error: no such set\n"),
        (ValueError("found 1,\nwanted 2"), 2, "error: found 1, wanted 2\n"),
    ],
)
def test_an_error_is_one_line_and_a_code_of_its_own(line, run_line, error, code, said, monkeypatch, capsys):
    def build(config):
        raise error

    monkeypatch.setattr(line, "build", build)
    assert run_line() == code
    told = capsys.readouterr().err
    assert told.startswith(said) and told.count("\n") == 1 and len(told) < 420
    with pytest.raises(type(error)):
        run_line("--debug")


@pytest.mark.parametrize(
    "act", [lambda: np.zeros(2) @ np.zeros(3), lambda: jax.numpy.ones(3).reshape(2), lambda: int("x")]
)
def test_an_error_of_a_library_is_none_of_ours(line, run_line, act, monkeypatch, capsys):
    monkeypatch.setattr(line, "measure", lambda config, results: {"first: error": act()})
    assert run_line("--arm", "first") == 70
    told = capsys.readouterr().err
    assert told.count("error: ") == 1 and "--debug shows where" in told


def test_one_experiment_that_crashes_does_not_cost_the_others_theirs(line, monkeypatch, capsys):
    from experiments import registry

    def crash(config):
        raise ZeroDivisionError("by nought")

    load = registry.load
    crashing = type("Module", (), {**vars(line), "build": staticmethod(crash)})
    monkeypatch.setattr(registry, "matching", lambda names: ["fakepaper/crash", "fakepaper/line"])
    monkeypatch.setattr(registry, "load", lambda name: crashing if name == "fakepaper/crash" else load(name))
    assert main("reproduce --tier smoke --jobs 1 --no-progress".split()) == 70
    shown = capsys.readouterr()
    assert "1 of 1 rows in band" in shown.out
    assert "not run: fakepaper/crash: ZeroDivisionError: by nought" in shown.err


# ---- streams


class Broken(io.StringIO):
    """Breaks at the `after`-th write."""

    def __init__(self, after, error):
        super().__init__()
        self.left, self.error = after, error

    def write(self, text):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().write(text)


def test_a_plain_stream_gets_a_plain_table(run_line, tmp_path, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", stream := io.TextIOWrapper(raw, encoding="ascii"))
    assert run_line("--arm", "first", workdir=tmp_path / "w") == 0
    assert sys.stdout is stream
    shown = raw.getvalue().decode("ascii")
    assert "1 of 1 rows in band" in shown and " +- " in shown and "0 ... 100" in shown
    assert "?" not in shown.replace("in band?", "")
    assert (tmp_path / "w/report.html").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenPipeError(32, "Broken pipe"), ""),
        (OSError(28, "No space left on device"), "stdout: [Errno 28] No space left on device; going on without it\n"),
        (ValueError("I/O operation on closed file"), "stdout: I/O operation on closed file; going on without it\n"),
    ],
)
@pytest.mark.parametrize("words", [["list"], ["run", "fakepaper/line", "--help"]])
@pytest.mark.usefixtures("line")
def test_a_stream_that_breaks_changes_no_exit_code(words, error, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Broken(0, error))
    try:
        code = main(words)
    except SystemExit as ended:  # tyro's help
        code = ended.code
    assert code == 0 and capsys.readouterr().err == said


def test_no_stream_at_all_is_done_without(run_line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", Broken(0, OSError(9, "Bad file descriptor")))
    assert run_line("--arm", "first", workdir=tmp_path / "w") == 0
    assert (tmp_path / "w/report.html").exists()
    assert run_line("--arm", "first", workdir=tmp_path / "w") == 2


def test_a_steady_stream_is_the_stream_otherwise():
    stream = Steady(io.StringIO())
    stream.writelines(["±", "\n"])
    assert stream.getvalue() == "±\n" and not stream.isatty() and Steady(None).encoding == "utf-8"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_processes_end_with_their_code_whatever_stdout_is():
    command = f"{sys.executable} -m experiments"
    ends = {
        f"{command} list > /dev/full": (0, "stdout: [Errno 28] No space left on device; going on without it\n"),
        f"{command} rum --debug >&-": (2, None),
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    how = {"cwd": ROOT, "env": environment, "stderr": subprocess.PIPE, "text": True, "executable": "/bin/bash"}
    running = {words: subprocess.Popen(words, shell=True, **how) for words in ends}
    for words, (code, said) in ends.items():
        told = running[words].communicate(timeout=120)[1]
        assert (running[words].returncode, told if said is not None else None) == (code, said), (words, told)
        assert ("Traceback" in told) is ("--debug" in words)


# ---- trials that fail


def test_a_row_says_how_many_trials_failed_and_is_out_of_band_with_too_many():
    reference = Reference("a: x", "1", {"quick": (0.9, 1.1)}, note="Of one law.")
    few, many = (
        compare([reference], {"a: x": np.array([1.0] * good + [np.nan] * (10 - good))}, "quick")[0] for good in (8, 7)
    )
    assert few.in_band and few.count == "8 of 10" and few.note == "Of one law. 2 of 10 trials failed."
    assert (
        many.in_band is False
        and many.mean == 1.0
        and many.note.endswith("3 of 10 trials failed, more than the 20% that a band allows.")
    )
    assert compare([reference], {"a: x": np.ones(3)}, "quick")[0].count == "3"
    assert compare([reference], {"a: x": np.full(3, np.nan)}, None)[0].in_band is None
    with pytest.raises(ValueError, match="found failed=-1"):
        Comparison("x", "", 0.0, 0.0, 1, failed=-1)


def test_an_arm_of_which_every_trial_fails_does_not_end_with_0(run_line, tmp_path, capsys):
    words = ["--arm", "first", "--arm", "second", "--sweep", "learning_rate=1e36"]
    assert run_line(*words, workdir=tmp_path / "w") == 1
    shown = capsys.readouterr().out
    assert "every trial failed: first, second" in shown and "0 of 2" in shown
    assert list(read_outcome(tmp_path / "w").lost) == ["first", "second"]
    assert main(["report", str(tmp_path / "w")]) == 1
    assert run_line("--arm", "first", "--sweep", "learning_rate=1e36,0.1", workdir=tmp_path / "v") == 0
    assert "2 of 4" in capsys.readouterr().out


# ---- what a later arm needs


def test_memory_of_a_later_arm_is_asked_for_before_the_first_one_trains(line, run_line, tmp_path, monkeypatch, capsys):
    many = dataclasses.replace(line.PRESETS["smoke"], num_seeds=800)
    monkeypatch.setattr(line, "arms", lambda config: [Arm("first", config), Arm("second", many)])
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: 5000)
    assert run_line(workdir=tmp_path / "w") == 2
    assert capsys.readouterr().err.startswith("error: arm 'second': run: 800 trials need at least")
    assert not (tmp_path / "w").exists()


def test_disk_of_all_arms_is_asked_for_before_the_first_one_trains(run_line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(guard, "free_disk_space", lambda folder: 400)
    monkeypatch.setattr(guard, "disk_space_needed", lambda tree, keep: 100 * (keep + 1))
    assert run_line("--arm", "first", workdir=tmp_path / "w") == 0
    assert run_line(workdir=tmp_path / "v") == 2
    assert "error: run: the checkpoints of the arms ['first', 'second', 'third'] need" in capsys.readouterr().err
    assert not (tmp_path / "v/first").exists() and run_line("--arm", "first", workdir=tmp_path / "v") == 0
