"""The benchmark of agents runs at tiny sizes, and counts the products of a step."""

import pytest

from benchmarks import agents as bench

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
