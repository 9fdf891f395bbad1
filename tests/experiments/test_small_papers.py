"""Four small papers stand for those to come: everything they need is in the core, and nothing of the core changes."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import experiments
from experiments import registry
from experiments.__main__ import main
from identax.run import EXIT_INTERRUPTED
from identax.run.records import read_rows

HERE = Path(__file__).parent
PAPER = "smallpapers"


@pytest.fixture
def run_paper(monkeypatch, tmp_path):
    """Runs the smoke preset of a small paper; returns the exit code."""
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(HERE)])
    monkeypatch.setattr(registry, "ROOTS", [*registry.ROOTS, HERE])

    def call(name, folder, *options):
        words = ["run", f"{PAPER}/{name}", "--preset", "smoke", "--no-progress", "--workdir", str(tmp_path / folder)]
        return main([*words, *options])

    return call


def rows_of(folder, arm="*"):
    return [row for path in sorted(folder.glob(f"{arm}/records.jsonl")) for row in read_rows(path)]


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_an_agent_with_a_state_of_its_own(run_paper, advances, tmp_path):
    assert run_paper("corridor", "whole") == 0  # in band
    chunks, arms = len(advances), ("a2c", "chance")
    found = summary_of(tmp_path / "whole")["measured"]
    assert np.mean(found["a2c: return"]) > np.mean(found["chance: return"]) + 0.2
    places = np.load(tmp_path / "whole/a2c/arrays/places@60.npy")
    assert places.shape == (2, 6, 8) and places.mean() > np.load(tmp_path / "whole/a2c/arrays/places@0.npy").mean()
    assert chunks == 6 * len(arms)
    advances.clear()
    advances.stop_at = 9  # in the second arm
    assert run_paper("corridor", "cut") == EXIT_INTERRUPTED
    advances.stop_at = None
    assert run_paper("corridor", "cut", "--resume") == 0
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")  # memory and places were kept


@pytest.mark.slow
def test_two_phases_with_a_sweep_over_the_second(run_paper, advances, tmp_path):
    assert run_paper("finetune", "whole") == 0
    assert len(advances) == 20 + 3 * 2  # pre-training ran once
    rows = read_rows(tmp_path / "whole/finetune/records.jsonl")
    before = read_rows(tmp_path / "whole/pretrain/records.jsonl")[-1]["metrics"]["error"]
    np.testing.assert_allclose(rows[0]["metrics"]["error"], np.tile(np.add(before, 0.5), 3), atol=0.1)
    advances.clear()
    assert run_paper("finetune", "swept", "--sweep", "shift=0,0.5,1", "--arm", "finetune") == 0
    assert len(advances) == 20 + 2
    sizes = [len(rows_of(tmp_path / "swept", arm)[0]["metrics"]["error"]) for arm in ("pretrain", "finetune")]
    assert sizes == [2, 2 * 3 * 3]
    assert not (tmp_path / "swept/scratch").exists()


# in the second phase, and in the first
@pytest.mark.parametrize("stop_at", [21, pytest.param(3, marks=pytest.mark.slow)])
def test_a_phase_is_resumed_and_another_one_before_it_refused(
    stop_at, run_paper, advances, monkeypatch, tmp_path, capsys
):
    assert run_paper("finetune", "whole", "--arm", "finetune") == 0
    advances.clear()
    advances.stop_at = stop_at
    assert run_paper("finetune", "cut", "--arm", "finetune") == EXIT_INTERRUPTED
    advances.clear()
    advances.stop_at = None
    assert run_paper("finetune", "cut", "--arm", "finetune", "--resume") == 0
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    capsys.readouterr()
    # Another pre-training, by changed code, under the same later arm: nothing is continued from it.
    shutil.rmtree(tmp_path / "whole/pretrain")
    module = registry.load(f"{PAPER}/finetune")
    build = module.build
    monkeypatch.setattr(
        module, "build", lambda c: build(dataclasses.replace(c, batch_size=16) if c.phase == "pretrain" else c)
    )
    assert run_paper("finetune", "whole", "--arm", "finetune", "--resume") == 2
    shown = capsys.readouterr().err
    assert "arm 'finetune', which starts after 'pretrain'" in shown and "after.sha256" in shown


def test_an_arm_cannot_start_after_one_that_is_not_there(run_paper, monkeypatch, tmp_path, capsys):
    module = registry.load(f"{PAPER}/finetune")
    arms = module.arms(module.PRESETS["smoke"])
    monkeypatch.setattr(module, "arms", lambda config: arms[1:])
    assert run_paper("finetune", "w") == 2
    assert "'finetune' starts after 'pretrain', wanted an arm before it: []" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_noise_resets_and_the_best_state_on_a_validation_split(run_paper, advances, tmp_path):
    assert run_paper("resets", "whole") == 0
    found = summary_of(tmp_path / "whole")["measured"]
    last = {arm: rows_of(tmp_path / "whole", arm)[-1]["metrics"] for arm in ("plain", "noise", "resets")}
    losses = {arm: metrics["validation/loss"] for arm, metrics in last.items()}
    assert losses["plain"] != losses["noise"] and losses["plain"] != losses["resets"]  # both are wired in
    stops = found["plain: stopped at"]
    assert min(stops) > 0 and found["plain: accuracy at the best state"] != found["plain: accuracy at the last state"]
    assert np.load(tmp_path / f"whole/plain/arrays/first layer@{max(map(int, stops))}.npy").shape == (3, 8, 32)
    advances.clear()
    advances.stop_at = 3
    assert run_paper("resets", "cut", "--arm", "resets") == EXIT_INTERRUPTED
    advances.stop_at = None
    assert run_paper("resets", "cut", "--arm", "resets", "--resume") == 0
    assert rows_of(tmp_path / "cut", "resets") == rows_of(tmp_path / "whole", "resets")
    best = [summary_of(tmp_path / folder)["best"]["resets"] for folder in ("cut", "whole")]
    assert best[0] == best[1]


@pytest.mark.slow
def test_trials_in_blocks_on_device_and_host_killed_and_resumed(run_paper, monkeypatch, tmp_path):
    assert run_paper("independence", "whole") == 0
    rows = rows_of(tmp_path / "whole")
    assert len(rows) == 4 * 48 and {row["kind"] for row in rows} == {"trial"}
    assert np.load(tmp_path / "whole/fisher 20/arrays/data@0.npy").shape == (48, 2, 20)
    for arm, blocks in (("fisher 60", 2), ("spearman 20", 1)):
        # Killed while a block is computed: no handler runs, nothing is tidied up.
        words = [sys.executable, str(HERE / "small_papers_kill.py"), arm, str(blocks), str(tmp_path / arm)]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
        ended = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        done = json.loads((tmp_path / arm / arm / "blocks.json").read_text())["done"]
        assert done == blocks * 16
        assert run_paper("independence", arm, "--arm", arm, "--resume") == 0
        found, wanted = ([row["metrics"]["p"] for row in rows_of(tmp_path / f, arm)] for f in (arm, "whole"))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)  # the killed one had one device, not eight
