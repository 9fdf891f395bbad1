"""Four small papers stand for those to come: everything they need is in the core, and nothing of the core changes."""

import json
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


def test_a_phase_is_resumed_and_another_one_before_it_refused(run_paper, advances, tmp_path, capsys):
    assert run_paper("finetune", "whole", "--arm", "finetune") == 0
    for stop_at in (3, 21):  # in the first phase, and in the second
        advances.clear()
        advances.stop_at = stop_at
        assert run_paper("finetune", f"cut {stop_at}", "--arm", "finetune") == EXIT_INTERRUPTED
        advances.clear()
        advances.stop_at = None
        assert run_paper("finetune", f"cut {stop_at}", "--arm", "finetune", "--resume") == 0
        assert rows_of(tmp_path / f"cut {stop_at}") == rows_of(tmp_path / "whole")
    capsys.readouterr()
    # Another pre-training under the same later arm: nothing is continued from it.
    records = tmp_path / "whole/pretrain/records.jsonl"
    records.write_text(records.read_text().replace('"error": [0.', '"error": [0.1'))
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
