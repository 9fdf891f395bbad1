"""The benchmark of agents runs at tiny sizes, and counts the products of a step."""

import os
import sys

import pytest

from benchmarks import agents as bench
from benchmarks import agents_proximal

pytestmark = pytest.mark.slow
TINY = {"num_environments": 2, "num_seeds": 2, "rollout_length": 3, "num_updates": 2, "rounds": 1, "units": 8}


@pytest.mark.parametrize("memory", ["lstm", "none"])
def test_they_run(memory):
    found = bench.steps(game=bench.DRAWN, memory=memory, torch=False, **TINY)["derived"]
    assert found["identax: steps/s"] > 0 and "speedup" not in found


def test_they_run_beside_pytorch():
    pytest.importorskip("torch")
    found = bench.steps(game=bench.DRAWN, memory="lstm", **TINY)["derived"]
    assert found["speedup"] > 0 and found["torch: steps/s"] > 0


def test_products_of_a_step():
    # 64 places of a 3 x 3 convolution from 4 to 16, a layer from 1024 to 8, four gates from 8 + 8, two heads.
    forward = 64 * 36 * 16 + 1024 * 8 + 8 * 4 + 8 * 4 * 16
    assert bench.products_of("lstm", 8, 3, 5) == pytest.approx(forward * 4.2)


PPO = {
    "game": bench.DRAWN, "widths": (8, 8), "num_environments": 4, "num_seeds": 2, "rollout_length": 4, "epochs": 2,
    "minibatches": 2, "num_updates": 2, "rounds": 1,
}  # fmt: skip


def test_ppo_runs_alone_and_says_so(capsys, monkeypatch):
    monkeypatch.delenv(agents_proximal.INTERPRETER, raising=False)
    found = agents_proximal.steps(**PPO)["derived"]
    assert found["identax: steps/s"] > 0 and "speedup" not in found
    assert "rejax not measured: name an interpreter that has it in REJAX_PYTHON" in capsys.readouterr().err


def test_an_interpreter_without_rejax_is_no_silent_nothing():
    with pytest.raises(RuntimeError, match="its process ended with code 1"):
        agents_proximal.Other(sys.executable, {})


@pytest.mark.skipif(agents_proximal.INTERPRETER not in os.environ, reason="needs an interpreter with rejax")
def test_ppo_runs_beside_rejax():
    pytest.importorskip("gymnax")
    found = agents_proximal.steps(**PPO | {"game": "Breakout-MinAtar"})["derived"]
    assert found["speedup"] > 0 and found["rejax: steps/s"] > 0
