"""The optional sinks, against stand-ins for the packages they need."""

import sys
import types

import numpy as np
import pytest

from identax.run.trackers import Sink, TensorBoardSink, WandbSink

METRICS = {
    "loss": np.array([1.0, 3.0, np.nan]),
    "precision": np.array([[5.0, 25.0], [7.0, 23.0], [6.0, 24.0]]),
}


@pytest.fixture
def tensorboard(monkeypatch):
    """A stand-in for tensorboardX that keeps what is written: run -> tag -> (step, value)."""
    module = types.ModuleType("tensorboardX")
    module.runs, module.closed, module.purged = {}, [], set()

    class SummaryWriter:
        def __init__(self, logdir, purge_step=None):
            self.logdir = logdir
            module.runs[logdir.rsplit("/", 1)[-1]] = self.scalars = {}
            module.purged.add(purge_step)

        def add_scalar(self, tag, value, step):
            self.scalars[tag] = (step, value)

        def close(self):
            module.closed.append(self.logdir)

    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    return module


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for wandb with one run that keeps its rows."""
    module = types.ModuleType("wandb")

    class Run:
        rows, finished, broken = [], False, False

        def define_metric(self, name, step_metric):
            self.metric = (name, step_metric)

        def log(self, row):
            if self.broken:
                raise ConnectionError("no route")
            self.rows.append(row)

        def finish(self):
            self.finished = True

    def init(**options):
        module.options, module.run = options, Run()
        module.run.rows = []
        return module.run

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_tensorboard_gets_means_and_every_trial(tensorboard, tmp_path):
    sink = TensorBoardSink(tmp_path, max_trials=3, start_step=40)
    assert isinstance(sink, Sink)
    sink.write(50, "train", METRICS)
    sink.close()
    assert set(tensorboard.runs) == {"mean", "sd", "trial-000", "trial-001", "trial-002"}
    assert tensorboard.runs["mean"]["train/loss"] == (50, 2.0), "the failed trial is left out"
    assert tensorboard.runs["sd"]["train/loss"] == (50, pytest.approx(np.sqrt(2)))
    assert tensorboard.runs["mean"]["train/precision/1"] == (50, 24.0)
    assert tensorboard.runs["trial-001"]["train/precision/0"] == (50, 7.0)
    assert set(tensorboard.runs["trial-002"]) == {"train/precision/0", "train/precision/1"}, "its loss is not finite"
    assert tensorboard.purged == {40} and len(tensorboard.closed) == 5


def test_only_so_many_trials_get_a_run_of_their_own(tensorboard, tmp_path):
    TensorBoardSink(tmp_path, max_trials=1).write(50, "train", METRICS)
    assert set(tensorboard.runs) == {"mean", "sd", "trial-000"}


def test_wandb_gets_one_row_a_step(wandb, tmp_path):
    sink = WandbSink("project", name="a", config={"dim": 6}, directory=tmp_path, run_id="x7", mode="offline")
    assert isinstance(sink, Sink)
    assert wandb.options == {
        "project": "project", "name": "a", "config": {"dim": 6}, "dir": str(tmp_path), "id": "x7",
        "resume": "allow", "mode": "offline",
    }  # fmt: skip
    assert wandb.run.metric == ("*", "step")
    sink.write(np.int64(50), "eval", METRICS)
    (row,) = wandb.run.rows
    assert row["step"] == 50 and row["eval/loss/mean"] == 2.0
    assert row["eval/loss/trial-001"] == 3.0 and row["eval/precision/1/trial-002"] == 24.0
    sink.close()
    assert wandb.run.finished


def test_all_failed_trials_give_no_mean(wandb):
    sink = WandbSink("project")
    sink.write(1, "train", {"loss": np.full(2, np.nan)})
    assert "train/loss/mean" not in wandb.run.rows[0]


def test_a_broken_sink_warns_once_and_the_run_goes_on(wandb):
    sink = WandbSink("project")
    wandb.run.broken = True
    with pytest.warns(RuntimeWarning, match="WandbSink: ConnectionError: no route") as caught:
        sink.write(1, "train", METRICS)
        wandb.run.broken = False
        sink.write(2, "train", METRICS)
        sink.close()
    assert len(caught) == 1 and wandb.run.rows == [] and wandb.run.finished


@pytest.mark.parametrize("package, make", [("tensorboardX", TensorBoardSink), ("wandb", WandbSink)])
def test_a_missing_package_names_the_extra(monkeypatch, package, make):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}.*pip install 'identax\[trackers\]'"):
        make("somewhere")
