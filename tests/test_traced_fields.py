"""Traced fields become hyper-parameters of the kind that their annotation says."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from identax.experiment import Arm
from identax.plan import trials_of


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 0.1
    size: int = 4
    centred: bool = True
    precision: tuple[tuple[float, ...], ...] = ((1.0, 2.0),)
    own_learning_rate: float = 0.0
    num_seeds: int = 2
    seed: int = 0


PARTS = ("PRESETS", "REFERENCES", "arms", "build", "premises", "measure", "figures")
MODULE: Any = SimpleNamespace(
    TRACED=("rate", "size", "centred", "precision", "own_learning_rate"), **dict.fromkeys(PARTS, len)
)


def hparams(sweep=None, **fields):
    return trials_of(MODULE, Arm("one", Config(**fields), sweep or {})).hparams


@pytest.mark.parametrize(
    ("given", "dtypes"),
    [
        (hparams(), ("float32", "int32", "bool", "float32", "float32")),
        (hparams(rate=30), ("float32", "int32", "bool", "float32", "float32")),
        (hparams({"rate": [1, 2]}), ("float32", "int32", "bool", "float32", "float32")),
        # as `--sweep` brings them
        (hparams({"size": [2.0, 3.0], "centred": [0.0, 1.0]}), ("float32", "int32", "bool", "float32", "float32")),
    ],
)
def test_values_take_the_kind_of_their_annotation(given, dtypes):
    assert tuple(str(given[name].dtype) for name in MODULE.TRACED) == dtypes


def test_values_are_kept():
    found = hparams({"size": [2.0, 3.0], "rate": [1, np.float32(0.5)]}, centred=False)
    assert found["size"].tolist() == [2, 2, 3, 3] * 2 and found["rate"].tolist() == [1] * 4 + [0.5] * 4
    assert not jnp.any(found["centred"])


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"size": [2.5]}, r"found size=\[2.5\], wanted values of kind int"),
        ({"size": [float("inf")]}, "wanted values of kind int"),
        ({"centred": [2.0]}, "wanted values of kind bool"),
        ({"rate": [float("nan")]}, "rate holds NaN"),
        ({"rate": [16777217]}, r"found rate=\[16777217\], wanted values that float32 holds"),
        ({"own_learning_rate": [0.1, -0.1]}, "arm 'one': found own_learning_rate down to -0.1, wanted non-negative"),
        ({"own_learning_rate": [float("inf")]}, "1 non-finite entries in own_learning_rate"),
    ],
)
def test_values_of_another_kind_are_refused(sweep, message):
    with pytest.raises(ValueError, match=message):
        hparams(sweep)


def test_a_negative_learning_rate_of_a_config_is_refused_like_one_of_a_sweep():
    with pytest.raises(ValueError, match=r"found own_learning_rate=-0\.1, wanted a non-negative"):
        hparams(own_learning_rate=-0.1)
    assert (hparams(own_learning_rate=0.0)["own_learning_rate"] == 0).all()
