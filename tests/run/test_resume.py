"""Resumed is uninterrupted, bit for bit: after a signal, a kill at any moment, and damage to the files."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from regression import regression_study, same_rows, same_trees

from identax.run import EXIT_INTERRUPTED, Interrupted, make_mesh, run
from identax.run.program import Programs
from identax.run.records import read_rows
from identax.study import Trials

STUDY = regression_study()
TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2], explode_at=[0, 17])
MESH = make_mesh(trial=2)
OPTIONS = {"num_steps": 40, "log_every": 5, "evaluate_every": 10, "checkpoint_every": 10}


def train(workdir=None, *, mesh=MESH, **options):
    return run(STUDY, TRIALS, mesh=mesh, workdir=workdir, progress=False, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder / "run")


def assert_uninterrupted(found, whole):
    """Bit for bit: rows on file, state, arrays; no step missing, none twice."""
    same_rows(found.workdir / "records.jsonl", whole.workdir / "records.jsonl")
    same_trees(found.state, whole.state)
    np.testing.assert_array_equal(found.failed_at, whole.failed_at)
    for name in whole.train:
        np.testing.assert_array_equal(found.train[name], whole.train[name])
    for name in whole.evaluation:
        np.testing.assert_array_equal(found.evaluation[name], whole.evaluation[name])
    rows = [(row["kind"], row["step"]) for row in read_rows(found.workdir / "records.jsonl")]
    assert [s for kind, s in rows if kind == "train"] == [1, *range(5, 41, 5)]
    assert [s for kind, s in rows if kind == "eval"] == [0, 10, 20, 30, 40]


class Signal:
    """A sink that sends this process a signal at the train row of `step`."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step, self.number, self.closed = step, number, False

    def write(self, step, phase, metrics):
        if (step, phase) == (self.step, "train"):
            os.kill(os.getpid(), self.number)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 5), (signal.SIGINT, 20), (signal.SIGTERM, 40)])
def test_a_signal_saves_at_the_chunk_boundary(whole, tmp_path, number, step):
    before, sink = signal.getsignal(number), Signal(step, number)
    with pytest.raises(Interrupted) as stopped:
        train(tmp_path / "run", sinks=[sink])
    assert stopped.value.code == EXIT_INTERRUPTED == 75 and stopped.value.saved and sink.closed
    assert step <= stopped.value.step <= step + 10 and "continue with --resume" in str(stopped.value)
    assert (tmp_path / f"run/checkpoints/{stopped.value.step}/manifest.json").exists()
    assert signal.getsignal(number) is before
    assert_uninterrupted(train(tmp_path / "run", resume=True), whole)


def test_without_a_workdir_nothing_is_saved():
    with pytest.raises(Interrupted, match="nothing saved"):
        train(sinks=[Signal(5)])


def test_a_second_signal_interrupts_at_once(whole, tmp_path):
    class Twice(Signal):
        def write(self, step, phase, metrics):
            super().write(step, phase, metrics)
            super().write(step, phase, metrics)

    with pytest.raises(KeyboardInterrupt, match="second signal SIGTERM"):
        train(tmp_path / "run", sinks=[Twice(20)])
    assert_uninterrupted(train(tmp_path / "run", resume=True), whole)


@pytest.mark.parametrize(
    "mesh",
    [
        pytest.param(make_mesh(), id="8"),
        pytest.param(make_mesh(trial=1), id="1", marks=pytest.mark.slow),
        pytest.param(make_mesh(data=2), id="4x2", marks=pytest.mark.slow),
    ],
)
def test_resumed_on_other_devices_to_float_tolerance(whole, tmp_path, mesh):
    with pytest.raises(Interrupted):
        train(tmp_path / "run", sinks=[Signal(20)])
    found = train(tmp_path / "run", resume=True, mesh=mesh)
    np.testing.assert_allclose(found.state.params["w"], whole.state.params["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.train["loss"], whole.train["loss"], rtol=1e-5)
    np.testing.assert_array_equal(found.failed_at, whole.failed_at)
    assert found.state.params["w"].shape == (8, 3, 3)


@pytest.mark.slow
def test_resumed_with_another_padding(tmp_path):
    options = {"num_steps": 20, "evaluate_every": None}

    def partly(workdir, mesh, **more):
        return run(STUDY, TRIALS[:5], mesh=mesh, workdir=workdir, progress=False, **{**OPTIONS, **options, **more})

    whole = partly(None, MESH)  # 6 of them with the padding
    with pytest.raises(Interrupted):
        partly(tmp_path / "run", MESH, sinks=[Signal(1)])
    found = partly(tmp_path / "run", make_mesh(), resume=True)  # 8
    np.testing.assert_allclose(found.state.params["w"], whole.state.params["w"], rtol=1e-5, atol=1e-6)
    same_trees(partly(tmp_path / "run", MESH, resume=True).state, found.state)


def test_a_finished_run_is_not_trained_again(whole, monkeypatch):
    monkeypatch.setattr(Programs, "_call", lambda *_: pytest.fail("a program ran"))
    assert_uninterrupted(train(whole.workdir, resume=True), whole)


# --- kills: one subprocess that forks before JAX starts its threads, so that a scenario costs a second

KILLS = ["a_row", "before_save", "in_manifest", "while_removing"]
MORE_KILLS = ["first_row", "in_save_1", "in_save_2", "before_manifest", "any_moment"]
# What is left, where that is certain: steps of the complete checkpoints, steps of the others.
LEFT = {
    "first_row": ([], []),
    "a_row": ([10, 20], []),
    "before_save": ([10], [20]),
    "before_manifest": ([10], [20]),
    "in_manifest": ([10], [20]),
    "while_removing": ([20, 30], [10]),
}


def _run_scenarios(names, folder):
    """Runs them; `(folder, {scenario: [exit code, ...]})`. "term" is resumed in a process of its own."""
    program = str(Path(__file__).with_name("kill_scenarios.py"))
    environment = {
        **os.environ,
        "PYTHONWARNINGS": "ignore",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),  # the first process compiles for the others
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run(
        [sys.executable, program, json.dumps(names), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return _run_scenarios(["term", *KILLS], tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def killed_elsewhere(tmp_path_factory):
    return _run_scenarios(MORE_KILLS, tmp_path_factory.mktemp("killed"))


def _checkpoints_left(workdir):
    """Steps of the checkpoints with and without a manifest."""
    folders = sorted((workdir / "checkpoints").glob("*"), key=lambda p: int(p.name))
    return tuple(
        [int(p.name) for p in folders if (p / "manifest.json").exists() is complete] for complete in (True, False)
    )


def _log(folder, name):
    return (folder / f"{name}.{name}.log").read_text()[-3000:]


def test_sigterm_exits_with_the_documented_code(killed, whole):
    folder, codes = killed
    assert codes["term"] == [75, 0], _log(folder, "term")
    same_rows(folder / "term/records.jsonl", whole.workdir / "records.jsonl")
    assert_uninterrupted(train(folder / "term", resume=True), whole)


@pytest.mark.parametrize("moment", KILLS)
def test_killed_at_any_moment_resumes_bit_for_bit(killed, whole, moment):
    _assert_resumes(*killed, whole, moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MORE_KILLS)
def test_killed_at_other_moments_resumes_bit_for_bit(killed_elsewhere, whole, moment):
    _assert_resumes(*killed_elsewhere, whole, moment)


def _assert_resumes(folder, codes, whole, moment):
    assert codes[moment] == [-signal.SIGKILL], _log(folder, moment)
    rows, everything = ((f / "records.jsonl").read_bytes() for f in (folder / moment, whole.workdir))
    assert rows != everything
    if "row" in moment:
        assert not rows.endswith(b"\n")
    complete, begun = _checkpoints_left(folder / moment)
    if moment in LEFT:
        assert (complete, begun) == LEFT[moment]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "checkpoint .* not saved to the end", RuntimeWarning)
        found = train(folder / moment, resume=True)
    assert_uninterrupted(found, whole)
