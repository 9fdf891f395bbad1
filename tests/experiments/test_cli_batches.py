"""Experiments that a loader feeds, and what is refused before a run directory is touched."""

import json

import numpy as np
import pytest

from experiments import registry
from experiments.__main__ import main
from identax.run.records import read_rows

NAME = "fedpaper/scales"


@pytest.fixture
def run_scales(line):  # `line` makes the experiments of this folder known
    module = registry.load(NAME)
    module.REPORTED.clear()

    def call(*options, workdir=None):
        where = [] if workdir is None else ["--workdir", str(workdir)]
        return main(["run", NAME, "--preset", "smoke", "--no-progress", *where, *options])

    call.module = module
    return call


@pytest.mark.slow
def test_trials_share_their_batches_and_not_what_they_draw(run_scales, tmp_path):
    assert run_scales(workdir=tmp_path / "w") == 0
    rows = [row for row in read_rows(tmp_path / "w" / "fed" / "records.jsonl") if row["kind"] == "train"]
    first, noisy = rows[0]["metrics"]["first"], rows[0]["metrics"]["noisy"]
    assert first[0] == first[1] and noisy[0] != noisy[1]
    order = np.random.RandomState([0, 0]).permutation(10)
    np.testing.assert_allclose(first, np.linspace(0, 1, 10)[order[0]], rtol=1e-6)
    seconds = json.loads((tmp_path / "w" / "summary.json").read_text())["seconds"]
    assert 0 <= seconds["fed"]["waiting for data"] < seconds["fed"]["run"]
    assert "waiting for data" not in seconds["sampled"]
    page = (tmp_path / "w" / "report.html").read_text()
    assert "waiting for data" in page
    assert main(["report", str(tmp_path / "w")]) == 0
    assert (tmp_path / "w" / "report.html").read_text() == page


@pytest.mark.parametrize("stop_at", [2, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 3))])
def test_an_interrupted_fed_arm_goes_on_where_it_was(stop_at, run_scales, advances, tmp_path):
    assert run_scales(workdir=tmp_path / "whole") == 0
    advances.clear()
    advances.stop_at = stop_at
    assert run_scales(workdir=tmp_path / "w") == 75
    assert len(advances) == stop_at
    assert run_scales("--resume", workdir=tmp_path / "w") == 0
    assert len(advances) == 8  # four chunks of each arm, none twice
    for arm in ("fed", "sampled"):
        whole, parts = (tmp_path / folder / arm / "records.jsonl" for folder in ("whole", "w"))
        assert whole.read_bytes() == parts.read_bytes()


def test_a_missing_data_set_is_refused_before_anything_is_written(run_scales, advances, tmp_path, capsys):
    assert run_scales("--config.source", "letters", workdir=tmp_path / "w") == 2
    assert "letters: found nothing prepared; run: make it" in capsys.readouterr().err
    assert not (tmp_path / "w").exists() and not advances


def test_a_study_that_cannot_be_built_claims_no_folder(run_line, advances, tmp_path, capsys):
    assert run_line("--config.dim", "2", workdir=tmp_path / "w") == 2
    assert "found 3 scales, wanted dim=2" in capsys.readouterr().err
    assert not (tmp_path / "w").exists() and not advances
    assert run_line("--config.dim", "2", "--config.scales", "1", "2", workdir=tmp_path / "w") == 0


def test_premises_of_arms_left_out_are_not_worked_out(run_scales, tmp_path, capsys):
    assert run_scales("--arm", "sampled", workdir=tmp_path / "w") == 0
    assert run_scales.module.REPORTED == ["sampled"]
    shown = capsys.readouterr().out
    assert f"{NAME} / sampled" in shown and f"{NAME} / fed" not in shown


@pytest.mark.parametrize("exists", [False, True])
def test_resume_of_a_mistyped_folder_is_refused(exists, run_line, advances, tmp_path, capsys):
    folder = tmp_path / "typo"
    if exists:
        folder.mkdir()
    assert run_line("--resume", workdir=folder) == 2
    assert f"found --resume with {folder}, which holds no run" in capsys.readouterr().err
    assert not advances and folder.exists() == exists
    assert not exists or list(folder.iterdir()) == []
