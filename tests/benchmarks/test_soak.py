"""How the soak tells a start that hangs from one that is slow, and that it leaves nothing behind."""

import json
import os
import subprocess
import sys

import pytest

_STARTS = """
import subprocess, sys, time
from benchmarks.soak import Limits, start

def hang():
    print(subprocess.Popen(["sleep", "300"]).pid)  # in the group of the start, which ends with it
    sys.stdout.flush()
    time.sleep(300)

def spin():
    while True:
        pass

limits, variables = Limits(idle=1.0, late=3.0), {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
for program in (lambda: None, hang, spin, lambda: 1 / 0):
    print(start(program, variables, limits, "unused")[0], flush=True)
"""


@pytest.mark.slow
def test_starts_end_as_done_hung_late_or_failed():
    done = subprocess.run([sys.executable, "-c", _STARTS], capture_output=True, text=True, timeout=60)
    first, pid, *others = done.stdout.split()
    assert [first, *others] == ["done", "hung", "late", "failed"], done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert not _runs(int(pid))


@pytest.mark.slow
def test_counts_and_settings_are_written(tmp_path):
    words = "--starts 2 --flag without --programs one_each --devices 2".split()
    command = [sys.executable, "-m", "benchmarks.soak", *words, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.json")
    found = json.loads(file.read_text())
    assert found["starts"] == 2 and found["flag"] == "without" and found["devices"] == 2
    counts = found["programs"]["one_each"]
    assert sum(counts[name] for name in ("done", "hung", "late", "failed")) == 2 and counts["failed"] == 0


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # killed, but not yet reaped by its new parent?
        return file.read().rpartition(")")[2].split()[0] not in "ZX"
