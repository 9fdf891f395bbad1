"""Two processes with two devices each (gloo) get the numbers of one process, and only process 0 writes."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from block_trials import TOTAL, go, host_trial, trial
from regression import contrastive_study, regression_study

from identax.data import epoch_batches
from identax.run import make_mesh, run
from identax.run.records import read_rows
from identax.study import Trials

_TWO_DEVICES = re.compile(r"(?<=device_count)=\d+")
TIMEOUT = 150  # seconds; a healthy run takes about ten

TRIALS = Trials.grid(3, learning_rate=[1e-2, 3e-2])
OPTIONS = {"num_steps": 20, "log_every": 5, "evaluate_every": 10, "progress": False}


def batches(part=slice(None), bad_at=None, start=0):
    for index in range(start, 10**6):
        z = np.random.default_rng(index).normal(size=(16, 3)).astype(np.float32)[part]
        yield (z, 2 * z if index != bad_at else z * np.nan)


def epochs(shard=(0, 1)):
    z, y = (np.concatenate(views) for views in zip(*(next(batches(start=i)) for i in range(3)), strict=True))
    return epoch_batches(list(zip(z, y, strict=True)), batch_size=16, seed=3, shard=shard)


_CHILD = """
import os, signal, sys
sys.path.insert(0, {here!r})
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]), initialization_timeout=60)
import numpy as np
from regression import contrastive_study, regression_study
from test_multiprocess import OPTIONS, TRIALS, batches, epochs
from identax.run import Interrupted, make_mesh, run
from identax.run.loader import data_shard
from identax.run.mesh import exchange, gather
me, folder = jax.process_index(), sys.argv[3]
assert jax.process_count() == 2 and jax.device_count() == 4 and jax.local_device_count() == 2
assert exchange("ab" * (me + 1)) == ["ab", "abab"]


class Sink:
    def __init__(self, stop=None):
        self.rows, self.stop = 0, stop

    def write(self, step, phase, metrics):
        self.rows += 1

    def close(self):
        pass


def refused(part, **options):
    try:
        run(fed if "batches" in options else regression_study(), TRIALS, **{{**OPTIONS, **options}})
    except ValueError as error:
        assert part in str(error), str(error)
    else:
        raise AssertionError("not refused")


out, sink = {{}}, Sink()
found = run(regression_study(), TRIALS, mesh=make_mesh(), sinks=[sink], workdir=folder + "/trial", **OPTIONS)
out["trial"] = found.final("entries")
assert sink.rows == (0 if me else 8), sink.rows

# Each process feeds its half of the batch, and the loss sees all of it. A signal to process 1 alone stops both.
fed = contrastive_study(host=True)
half = slice(8 * me, 8 * me + 8)


class Shard:
    # This process's half of every batch; its position is its own and no other's.
    def __init__(self, signal_at=None):
        self.index, self.signal_at = 0, signal_at

    def __iter__(self):
        return self

    def __next__(self):
        if self.index == self.signal_at and me == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        self.index += 1
        return next(batches(half, start=self.index - 1))

    def get_state(self):
        return dict(process=me, index=self.index)

    def set_state(self, state):
        assert state["process"] == me, state
        self.index = state["index"]


options = dict(OPTIONS, mesh=make_mesh(data=4), workdir=folder + "/fed")
try:
    run(fed, TRIALS, batches=Shard(signal_at=7), **options)
except Interrupted as stopped:
    assert stopped.step in (5, 10), stopped.step  # batch 7 is read ahead, while the steps to 5 run
else:
    raise AssertionError("not interrupted")
out["fed"] = run(fed, TRIALS, batches=Shard(), resume=True, **options).final("entries")
again = run(fed, TRIALS, batches=Shard(), resume=True, **options)  # has finished
out["w"] = gather(again.state.params["w"])

# The library's own batches know which half is whose.
mesh = make_mesh(data=4)
options = dict(OPTIONS, mesh=mesh, workdir=folder + "/epochs")
out["epochs"] = run(fed, TRIALS, batches=epochs(data_shard(mesh)), **options).final("entries")

# Trials without steps: compiled, and on the host, where the second of two processes has the odd ones.
import warnings
import block_trials as blocks
found = blocks.go(mesh=make_mesh(), workdir=folder + "/blocks")
out["compiled"] = np.array([*found.final("sd"), *found.arrays["draws"][0].sum(axis=1)])
calls = []
try:
    with blocks.signal_at_row(5 if me else 99):
        blocks.go(blocks.host_trial(calls.append), workdir=folder + "/host")
except Interrupted as stopped:
    assert stopped.step == 8, stopped.step
else:
    raise AssertionError("not interrupted")
found = blocks.go(blocks.host_trial(calls.append), workdir=folder + "/host", resume=True)
assert calls == [n for n in range(blocks.TOTAL) if n % 4 % 2 == me], calls
out["host"] = np.array([*found.final("sd"), *found.arrays["draws"][0].sum(axis=1)])
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    failed = blocks.go(blocks.host_trial(blocks.failing({{3}})), workdir=folder + "/failed").failed_at
assert failed.tolist() == [0, 0, 0, 1] + [0] * 7 and len(told) == (0 if me else 1), (failed, told)
try:
    blocks.go(blocks.host_trial(blocks.failing({{5}}, TypeError("a mistake"))), workdir=folder + "/mistake")
except (TypeError if me else RuntimeError) as error:
    assert "a mistake" in str(error), error
else:
    raise AssertionError("no error")

# What one process refuses, both refuse.
refused("holds a run already", workdir=folder + "/fed", batches=batches(half), mesh=make_mesh(data=4))
refused("not finite", batches=batches(half, bad_at=12 if me else None), mesh=make_mesh(data=4))
refused("not empty", workdir=folder + "/taken")
if me == 0:
    np.savez(folder + "/out.npz", **out)
print("finished", me)
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder that the two processes left."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("x")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_"))},
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{_TWO_DEVICES.sub('=2', os.environ['XLA_FLAGS'])} --xla_backend_optimization_level=0",
        "PYTHONWARNINGS": "ignore",
    }
    program = _CHILD.format(here=str(Path(__file__).parent))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program, address, str(index), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for index in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=TIMEOUT)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for index, (worker, output) in enumerate(zip(workers, outputs, strict=True)):
        assert worker.returncode == 0 and f"finished {index}" in output, "\n".join(o[-3000:] for o in outputs)
    return folder


@pytest.fixture(scope="module")
def numbers(together):
    return np.load(together / "out.npz")


@pytest.fixture(scope="module")
def alone():
    return run(regression_study(), TRIALS, mesh=make_mesh(trial=2), **OPTIONS).final("entries")


def test_two_processes_are_one(numbers, alone):
    np.testing.assert_allclose(numbers["trial"], alone, rtol=2e-5, atol=1e-6)


def test_fed_by_halves_stopped_and_resumed_is_one_process_fed_whole(numbers):
    study = contrastive_study(host=True)
    found = run(study, TRIALS, mesh=make_mesh(trial=2), batches=batches(), **OPTIONS)
    assert np.abs(found.evaluation["entries"][:, -1] - found.evaluation["entries"][:, 0]).max() > 1e-3
    np.testing.assert_allclose(numbers["fed"], found.final("entries"), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(numbers["w"], found.state.params["w"], rtol=2e-5, atol=1e-6)


def test_two_processes_draw_the_same_epochs_and_one_goes_on_from_them(numbers, together):
    study = contrastive_study(host=True)
    found = run(study, TRIALS, mesh=make_mesh(trial=2), batches=epochs(), **OPTIONS)
    np.testing.assert_allclose(numbers["epochs"], found.final("entries"), rtol=2e-5, atol=1e-6)
    options = {**OPTIONS, "mesh": make_mesh(trial=2), "workdir": together / "epochs", "resume": True}
    np.testing.assert_array_equal(run(study, TRIALS, batches=epochs(), **options).final("entries"), numbers["epochs"])


@pytest.mark.parametrize("kind", ["compiled", "host"])
def test_two_processes_share_trials_without_steps(together, numbers, kind):
    found = go(trial if kind == "compiled" else host_trial())
    wanted = [*found.final("sd"), *found.arrays["draws"][0].sum(axis=1)]
    np.testing.assert_allclose(numbers[kind], wanted, rtol=1e-5)
    folder = together / ("blocks" if kind == "compiled" else kind)
    assert [row["trial"] for row in read_rows(folder / "records.jsonl")] == list(range(TOTAL))
    again = go(trial, workdir=folder, resume=True)  # one process reads what two have written
    np.testing.assert_array_equal([*again.final("sd"), *again.arrays["draws"][0].sum(axis=1)], numbers[kind])


@pytest.mark.parametrize("name", ["trial", "fed", "epochs"])
def test_process_0_alone_wrote_every_row_once(together, name):
    rows = [(row["kind"], row["step"]) for row in read_rows(together / name / "records.jsonl")]
    assert rows == [
        *[("eval", 0), ("train", 1), ("train", 5), ("train", 10), ("eval", 10)],
        *[("train", 15), ("train", 20), ("eval", 20)],
    ]
    names = ["checkpoints", "config.json", "records.jsonl", "saved.json", "trials.npz"]
    assert sorted(path.name for path in (together / name).iterdir()) == names
    environment = json.loads((together / name / "config.json").read_text())["environment"]
    assert environment["process_count"] == 2 and sum(environment["devices"].values()) == 4


def test_what_two_processes_saved_one_can_go_on_from(together, numbers):
    options = {**OPTIONS, "mesh": make_mesh(trial=2), "workdir": together / "trial"}
    found = run(regression_study(), TRIALS, resume=True, **options)
    np.testing.assert_array_equal(found.final("entries"), numbers["trial"])
