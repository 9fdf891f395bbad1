"""A run has its folder alone: claimed at once, locked while it runs, and given back when nothing came of it."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from regression import regression_study

from identax.run import make_mesh, run
from identax.run.checkpoint import Checkpoints
from identax.run.folder import LEFT_BEHIND, local_folder, locked, make_folder
from identax.run.program import Programs
from identax.run.session import Session
from identax.study import Trials

TRIALS = Trials.grid(2, learning_rate=0.1)
MESH = make_mesh(trial=2)


def train(workdir, study=None, **options):
    study = regression_study() if study is None else study
    options = {"num_steps": 4, "log_every": 2, **options}
    return run(study, TRIALS, mesh=MESH, workdir=workdir, progress=False, **options)


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder("x", "~/runs") == tmp_path / "runs"
    assert local_folder("x", "a:b/c").name == "c"


def test_who_makes_a_folder_has_it_alone(tmp_path):
    wanted = tmp_path / "runs" / "quick-20260101-000000"
    names = [make_folder(wanted).name for _ in range(3)]
    assert names == [wanted.name, f"{wanted.name}-2", f"{wanted.name}-3"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"cannot make the folder .*: Not a directory"):
        make_folder(tmp_path / "file" / "run")


def test_a_locked_folder_says_who_writes_there(tmp_path):
    with locked(tmp_path):
        with pytest.raises(ValueError, match=f"is being written by process {os.getpid()} on .*; wait until that has"):
            train(tmp_path)
        with pytest.raises(ValueError, match="is being written by process"):
            train(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


_HOLDER = """
import os, sys, time
from pathlib import Path
from identax.run.checkpoint import Checkpoints
from identax.run.folder import locked
with locked(Path(sys.argv[1])):
    if not os.fork():  # the child outlives its parent, as a worker may
        print(os.getpid(), flush=True)  # it runs, so it has let go of the lock
    time.sleep(60)
"""


def test_a_dead_process_blocks_nobody(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", _HOLDER, str(tmp_path)]
    child = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            child = int(holder.stdout.readline())
            with pytest.raises(ValueError, match=f"by process {holder.pid} on "), locked(tmp_path):
                pass
            holder.kill()
            holder.wait()
            assert (tmp_path / ".lock").exists()
            with locked(tmp_path):
                pass
        finally:
            holder.kill()
            if child:
                os.kill(child, signal.SIGKILL)


def test_what_a_run_left_that_was_killed_at_once_blocks_nothing(tmp_path):
    for name in LEFT_BEHIND:
        (tmp_path / name).write_text("half")
    train(tmp_path)


def test_a_run_that_was_refused_leaves_the_folder_to_the_corrected_one(tmp_path, monkeypatch):
    def refused(*_):
        raise ValueError("metrics of no kind")

    with monkeypatch.context() as broken:
        broken.setattr(Programs, "evaluate", refused)  # after the config was written
        with pytest.raises(ValueError, match="metrics of no kind"):
            train(tmp_path, config={"rate": -1.0})
        assert list(tmp_path.iterdir()) == []
    train(tmp_path, config={"rate": 1.0})
    with pytest.raises(ValueError, match="another config"):
        train(tmp_path, config={"rate": 2.0}, resume=True)


@pytest.mark.parametrize("how", ["deleted", "moved", "emptied", "deleted while it saved"])
def test_a_folder_that_goes_while_it_is_written_ends_the_run(tmp_path, how, monkeypatch):
    folder, save = tmp_path / "run", Checkpoints.save

    class Remove:
        def write(self, step, kind, metrics):
            if (step, kind) == (2, "train"):
                if how == "moved":
                    folder.rename(tmp_path / "elsewhere")
                elif how == "deleted":
                    shutil.rmtree(folder)
                elif how == "emptied":
                    (folder / "records.jsonl").unlink()

        def close(self):
            pass

    def gone(self, *args):
        save(self, *args)
        shutil.rmtree(folder)

    if how == "deleted while it saved":
        monkeypatch.setattr(Checkpoints, "save", gone)
    with pytest.raises(OSError, match=r"run(/records.jsonl)? was deleted"):
        train(folder, num_steps=8, sinks=[Remove()])
    assert how == "emptied" or not folder.exists()


def test_a_folder_that_went_after_the_last_save_ends_the_run(tmp_path, monkeypatch):
    run_session = Session.run

    def gone(self, *args):
        found = run_session(self, *args)
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        return found

    monkeypatch.setattr(Session, "run", gone)
    with pytest.raises(OSError, match="run was deleted or moved while a run wrote there"):
        train(tmp_path / "run")
