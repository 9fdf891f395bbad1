"""What is refused is refused before a run directory is written, and never costs the folder."""

import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.__main__ import main
from identax import conduct
from identax.run import trackers
from identax.run.folder import locked

NAME = "fakepaper/line"
pytestmark = pytest.mark.usefixtures("line")


REFUSED = {
    "--num-seeds 0": "num_seeds: found 0",
    "--num-seeds 100000000000": "num_seeds: found 100000000000",
    "--num-seeds 2000000000": "found 2,000,000,000 trials",
    "--seed 4294967296": "seed: found 4294967296",
    "--seed -1": "seed: found -1",
    "--config.num-steps -1": "num_steps=-1",
    "--config.log-every 0": "log_every=0",
    "--config.checkpoint-every 5": "checkpoint_every=5",
    "--config.evaluate-every -4": "evaluate_every=-4",
    "--config.learning-rate nan": "config.learning_rate: found NaN",
    "--config.scales 1 2 nan": "config.scales: found NaN",
    "--tracker wandb": "wandb cannot be imported (gone); install it",
}


def test_what_is_refused_writes_nothing(line, run_line, tmp_path, capsys, monkeypatch):
    def gone(name):
        raise ImportError("gone")

    monkeypatch.setattr(trackers, "importlib", SimpleNamespace(import_module=gone))
    for number, (words, message) in enumerate(REFUSED.items()):
        assert run_line(*words.split(), workdir=tmp_path / "w" if number % 2 else None) == 2, words
        assert message in capsys.readouterr().err, words
        assert not (tmp_path / "w").exists() and not list((tmp_path / "runs").rglob("*-*")), words


def test_what_is_refused_later_leaves_the_folder_to_the_corrected(run_line, tmp_path, capsys, monkeypatch):
    def refuse(arm):
        raise ImportError("no tracker")

    with monkeypatch.context() as broken:
        broken.setattr("experiments.__main__._sinks", lambda *_: refuse)
        assert run_line("--seed", "3", workdir=tmp_path / "w") == 2
    assert "no tracker" in capsys.readouterr().err and list((tmp_path / "w").iterdir()) == []
    (tmp_path / "w" / "experiment.json.tmp").write_text("{")  # of one that was killed
    assert run_line("--arm", "first", workdir=tmp_path / "w") == 0


def test_a_bucket_is_no_folder_and_a_home_is_one(run_line, tmp_path, capsys, monkeypatch):
    for words in (["--workdir", "gs://bucket/run"], ["--runs-root", "s3://bucket"]):
        assert run_line(*words) == 2
        assert "wanted a folder of a file system of this machine" in capsys.readouterr().err
    assert main(["report", "gs://bucket/run"]) == 2
    assert "report: found 'gs:/bucket/run'" in capsys.readouterr().err
    assert not (tmp_path / "gs:").exists() and not (tmp_path / "s3:").exists()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with locked(tmp_path / "home/run"):
        assert run_line("--workdir", "~/run") == 2
    assert f"workdir {tmp_path}/home/run is being written by process" in capsys.readouterr().err
    assert not (tmp_path / "~").exists()


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr(conduct.datetime, "datetime", Clock)
    found = [conduct.new_workdir(Path("runs"), NAME, "smoke") for _ in range(3)]
    assert [path.name for path in found] == [f"smoke-20260101-000000{end}" for end in ("", "-2", "-3")]
    assert all(path.is_dir() for path in found)


def test_a_run_directory_that_goes_between_two_arms_ends_the_run(line, run_line, tmp_path, capsys, monkeypatch):
    def gone_after(name, arm, *args):
        found = run_arm(name, arm, *args)
        (tmp_path / "w").rename(tmp_path / "elsewhere")
        return found

    run_arm = conduct._run_arm
    monkeypatch.setattr(conduct, "_run_arm", gone_after)
    assert run_line(workdir=tmp_path / "w") not in (0, 1)
    assert "was deleted or moved while a run wrote there" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
