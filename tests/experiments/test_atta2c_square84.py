"""`atta2c/square84` without what its measures are of: no fresh pictures, no training."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.atta2c import square84

SMOKE = square84.PRESETS["smoke"]
TRAINED = {"reward": np.zeros((2, 3)), "feature sd": np.ones((2, 3))}


@pytest.mark.parametrize("fresh", [True, False])
def test_actions_on_fresh_pictures_are_measured_where_there_are_some(fresh):
    shown = {"sampled return": np.full(2, 2.0), "greedy return": np.full(2, -1.0)} if fresh else {}
    result = SimpleNamespace(
        train=TRAINED, train_steps=np.arange(2, 5), evaluation=shown, final=lambda name: shown[name]
    )
    found = square84.measure(SMOKE, {"baseline": result})  # pyright: ignore[reportArgumentType]
    assert found["baseline: correct actions, last 50 updates"].tolist() == [1 / 3] * 2
    assert ("baseline: correct actions, fresh pictures" in found) is fresh
    if fresh:  # of two steps: 1 a step, and -1/2 a step
        assert found["baseline: correct actions, fresh pictures"].tolist() == [1, 1]
        assert found["baseline: likeliest actions that are correct, fresh pictures"].tolist() == [0, 0]


def test_a_run_without_training_is_refused():
    with pytest.raises(ValueError, match="found num_steps=0, wanted at least 1"):
        square84.arms(dataclasses.replace(SMOKE, num_steps=0))
