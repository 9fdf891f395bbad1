"""Several experiments at a time: the same verdicts as one by one, refusals kept apart, signals passed on."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import parallel, registry
from experiments.__main__ import main
from experiments.cli import Machine, make_config
from identax.recorded import load_outcome
from identax.report.outcome import read_outcome

HERE = Path(__file__).parent
NAME, FED = "fakepaper/line", "fedpaper/letters"
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import experiments
from experiments import registry
from experiments.__main__ import main
experiments.__path__.append({here!r})
registry.ROOTS.append(Path({here!r}))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def child(monkeypatch):
    """The command line of the processes, in which the fake experiments exist too."""
    code = CHILD.format(root=str(HERE.parents[1]), here=str(HERE))
    monkeypatch.setattr(parallel, "COMMAND", (sys.executable, "-c", code))


def pretend(monkeypatch, code):
    monkeypatch.setattr(parallel, "COMMAND", (sys.executable, "-c", code))


def test_two_at_a_time_print_one_table_and_keep_what_each_said(line, child, monkeypatch, tmp_path, capsys):
    twice = {NAME: line, "fakepaper/ghost": line}  # the second is unknown to the processes
    monkeypatch.setattr(registry, "matching", lambda names: list(twice))
    monkeypatch.setattr(registry, "load", twice.__getitem__)
    assert main("reproduce --tier smoke --jobs 2".split()) == 2
    shown = capsys.readouterr()
    assert "1 of 1 rows in band" in shown.out and shown.out.count("report: ") == 1
    assert f"{NAME} / first | finished" in shown.out
    assert "not run: fakepaper/ghost: " in shown.err and "did you mean" in shown.err
    (log,) = (tmp_path / "runs" / NAME).glob("smoke-*.log")
    assert "Premises" in log.read_text()
    (folder,) = (path for path in (tmp_path / "runs" / NAME).iterdir() if path.is_dir())
    assert (folder / "report.html").exists()
    told, whole = read_outcome(folder), load_outcome(registry.load, folder, make_config)
    assert [row.quantity for row in told.comparisons] == [row.quantity for row in whole.comparisons]
    for row, again in zip(told.comparisons, whole.comparisons, strict=True):
        for name in ("mean", "sd", "n"):
            assert float(getattr(row, name)) == pytest.approx(float(getattr(again, name)), nan_ok=True)
        assert (row.low, row.high, row.note, row.in_band) == (again.low, again.high, again.note, again.in_band)
    for name, values in whole.measured.items():
        np.testing.assert_allclose(told.measured[name], values)
    with pytest.raises(ValueError, match="found no summary"):
        read_outcome(tmp_path)


@pytest.mark.parametrize("code", [9, 75])  # 75: somebody else stopped it, so there is no table to read
def test_a_process_that_dies_is_named_with_its_last_words(monkeypatch, tmp_path, code):
    pretend(monkeypatch, f"import sys; print('out of memory'); sys.exit({code})")
    found = parallel.run_beside({"a/b": tmp_path / "w"}, "quick", Machine(), 2, lambda text: None)
    assert found == {"a/b": f"ended with code {code}: out of memory (see {tmp_path / 'w.log'})"}
    assert isinstance(found["a/b"], parallel.Crashed) is (code == 9)


def test_processes_run_beside_each_other_and_get_the_machine_s_options(monkeypatch, tmp_path):
    # Each waits until it sees the other: one after the other they would end with code 3.
    code = f"""
import sys, time
from pathlib import Path
root, name = Path({str(tmp_path)!r}), sys.argv[2].replace('/', '-')
(root / name).touch()
for _ in range(200):
    if len(list(root.glob('a-*'))) == 2:
        sys.exit(0 if '--trial-map map' in ' '.join(sys.argv) else 4)
    time.sleep(0.05)
sys.exit(3)
"""
    pretend(monkeypatch, code)
    workdirs = {name: tmp_path / "runs" / name for name in ("a/one", "a/two")}
    assert parallel.run_beside(workdirs, "quick", Machine(trial_map="map"), 2, lambda text: None) == {}


def test_a_signal_stops_every_process_and_starts_no_further_one(monkeypatch, tmp_path):
    code = f"""
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: (Path({str(tmp_path)!r}, sys.argv[2].replace('/', '-')).touch(), sys.exit(75)))
print(sys.argv[2] + ' / arm | waiting', flush=True)
time.sleep(60)
"""
    pretend(monkeypatch, code)
    started = []

    def say(text):
        if "waiting" in text:
            started.append(text)
            if len(started) == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    before, began = signal.getsignal(signal.SIGTERM), time.monotonic()
    workdirs = {name: tmp_path / name for name in ("a/one", "a/two", "a/three")}
    with pytest.raises(parallel.Stopped) as stopped:
        parallel.run_beside(workdirs, "quick", Machine(), 2, say)
    assert stopped.value.code == 75 and time.monotonic() - began < 30
    assert sorted(path.name for path in tmp_path.glob("a-*")) == ["a-one", "a-two"]
    assert len(started) == 2 and signal.getsignal(signal.SIGTERM) is before
    assert threading.active_count() < 20


def test_how_many_run_at_a_time(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert [parallel.num_jobs(0, count, Machine()) for count in (1, 3, 9)] == [1, 3, 4]
    assert parallel.num_jobs(6, 9, Machine()) == 6
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")
    assert parallel.num_jobs(0, 9, Machine()) == 1
    assert parallel.num_jobs(0, 9, Machine(distributed=True)) == 1
    with pytest.raises(ValueError, match="--jobs 2 with --distributed"):
        parallel.num_jobs(2, 9, Machine(distributed=True))
    with pytest.raises(ValueError, match="found --jobs -1"):
        parallel.num_jobs(-1, 9, Machine())


def test_cores_are_shared_out():
    assert parallel.core_shares([0, 1], 2) == [(0,), (1,)]
    assert parallel.core_shares([2, 3, 5, 7, 9], 2) == [(2, 5, 9), (3, 7)]
    assert parallel.core_shares([4], 3) == [(4,), (4,), (4,)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_every_process_gets_cores_of_its_own(monkeypatch, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    pretend(
        monkeypatch, "import os, time; time.sleep(0.5); print(sorted(os.sched_getaffinity(0))); raise SystemExit(2)"
    )
    workdirs = {name: tmp_path / name for name in ("a", "b", "c")}
    found = parallel.run_beside(workdirs, "smoke", Machine(), 2, lambda text: None)
    shares = [str(list(share)) for share in parallel.core_shares(sorted(os.sched_getaffinity(0)), 2)]
    assert {found["a"], found["b"]} == set(shares) and found["c"] in shares
