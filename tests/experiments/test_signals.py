"""A signal anywhere in an experiment ends it with 75 and a folder that resumes; a second one ends it at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import program
from experiments.__main__ import main
from identax import conduct
from identax.run import Interrupted
from identax.run.interrupt import StopRequest
from identax.run.session import Session

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ARMS = ("first", "third")
SLOW = [(), pytest.mark.slow]


def interrupting(function, number=signal.SIGTERM, *, after=False):
    """The function, which first (or last) sends this process a signal."""

    def wrapped(*args, **kwargs):
        if not after:
            os.kill(os.getpid(), number)
        found = function(*args, **kwargs)
        if after:
            os.kill(os.getpid(), number)
        return found

    return wrapped


def records(folder):
    return {arm: (folder / arm / "records.jsonl").read_bytes() for arm in ARMS}


@pytest.fixture
def go(run_line):
    return lambda *words, workdir: run_line(*(f"--arm={arm}" for arm in ARMS), *words, workdir=workdir)


WHERE = {
    "premises": (lambda line: (line, "premises"), {}, ()),
    "building": (lambda line: (line, "build"), {"number": signal.SIGINT}, ()),
    "starting an arm": (lambda line: (Session, "_begin"), {"number": signal.SIGINT}, ("first",)),
    "evaluating before the first step": (lambda line: (Session, "_evaluate"), {}, ("first",)),
    "between arms": (lambda line: (conduct, "run"), {"after": True, "number": signal.SIGINT}, ("first",)),
    "drawing": (lambda line: (line, "figures"), {"number": signal.SIGINT}, ARMS),
}


RARE = {"building", "starting an arm"}  # between two others


@pytest.mark.parametrize("where", [pytest.param(where, marks=SLOW[where in RARE]) for where in WHERE])
def test_a_signal_anywhere_ends_with_75_and_a_folder_that_resumes(where, line, go, tmp_path, monkeypatch, capsys):
    find, how, there = WHERE[where]
    before = [signal.getsignal(number) for number in program.SIGNALS]
    owner, name = find(line)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupting(getattr(owner, name), **how))
        assert go(workdir=tmp_path / "w") == 75
    said = capsys.readouterr().err
    assert "interrupted " in said and f"--workdir {tmp_path / 'w'} --resume" in said
    assert [signal.getsignal(number) for number in program.SIGNALS] == before
    assert tuple(arm for arm in ARMS if (tmp_path / "w" / arm).exists()) == there
    assert go("--resume", workdir=tmp_path / "w") == 0
    assert (tmp_path / "w/report.html").exists() and all(records(tmp_path / "w").values())


@pytest.mark.slow
def test_a_signal_in_the_last_chunk_of_an_arm_starts_no_further_arm(go, tmp_path, advances, capsys):
    advances.stop_at = 3
    assert go(workdir=tmp_path / "w") == 75
    assert "interrupted at step 12: saved" in capsys.readouterr().err and not (tmp_path / "w/third").exists()
    assert go("--resume", workdir=tmp_path / "w") == 0
    assert len(advances) == 6
    advances.stop_at = 12  # the last chunk of all
    assert go(workdir=tmp_path / "v") == 75
    assert len(advances) == 12 and not (tmp_path / "v/summary.json").exists()
    assert go("--resume", workdir=tmp_path / "v") == 0
    assert len(advances) == 12 and records(tmp_path / "v") == records(tmp_path / "w")


def test_what_has_nothing_to_save_answers_too(monkeypatch, capsys):
    monkeypatch.setattr("experiments.registry.discover", interrupting(lambda: {}))
    assert main(["list"]) == 75
    assert "interrupted before anything was started" in capsys.readouterr().err


def test_the_outermost_request_answers_for_all():
    told = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="interrupted at step 7: saved"), StopRequest() as outer:
        with StopRequest(tell=lambda: told.append("inner")) as inner:
            assert inner is outer
            outer.answer(7, saved=True)
        os.kill(os.getpid(), signal.SIGTERM)
        with StopRequest(tell=lambda: told.append("late")):
            pass
    assert told == ["late"] and signal.getsignal(signal.SIGTERM) is before
    with StopRequest() as again:
        assert again is not outer and not again.asked()


# ---- processes

_PROGRAM = """
import sys
from experiments import program
program.listen()
{start}
import experiments
from experiments import registry
from experiments.__main__ import main
from pathlib import Path
experiments.__path__.append({here!r})
registry.ROOTS.append(Path({here!r}))
line = registry.load("fakepaper/line")
{patch}
program.finish(main(sys.argv[1:]))
"""


def process(*words, start="", patch="", cwd):
    code = _PROGRAM.format(here=str(HERE), start=start, patch=patch)
    command = [sys.executable, "-c", code, "run", "fakepaper/line", "--preset", "smoke", "--no-progress", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_before_anything_is_imported_a_signal_ends_with_75(tmp_path):
    start = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    said = (child := process(start=start, cwd=tmp_path)).communicate(timeout=60)
    assert child.returncode == 75 and list(tmp_path.iterdir()) == []
    assert said == ("", "interrupted by SIGINT before anything was started: give the command again\n")


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=SLOW[number is not signal.SIGTERM]) for number in program.SIGNALS]
)
def test_a_second_signal_ends_at_once_while_the_main_thread_cannot_hear(number, tmp_path):
    # As in the compiler: a call without the interpreter's lock, which no signal cuts short.
    deaf = """
import ctypes, signal
def build(config):
    signal.pthread_sigmask(signal.SIG_BLOCK, program.SIGNALS)
    print("deaf", flush=True)
    ctypes.CDLL(None).sleep(60)
line.build = build
"""
    child = process(patch=deaf, cwd=tmp_path)
    assert child.stdout is not None
    while "deaf" not in child.stdout.readline():
        pass
    child.send_signal(number)
    child.send_signal(number)  # as `timeout` does; they are one
    time.sleep(0.6)
    assert child.poll() is None
    began = time.monotonic()
    child.send_signal(number)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 128 + number and time.monotonic() - began < 5
    assert said == f"ended at once by a second {number.name}; what was saved before is intact\n"
