"""The image benchmarks run at a tiny size."""

import json

import numpy as np
import pytest

from benchmarks import images


@pytest.mark.parametrize(
    ("what", "options", "rows"),
    [
        ("augmentations", {}, {"digits all", "digits crop", "cifar all", "cifar grayscale"}),
        ("resnet18", {"width": 1}, {"float32", "bfloat16"}),
    ],
)
def test_measures(what, options, rows, monkeypatch):
    monkeypatch.setattr(images, "_SHAPES", {"digits": (6, 6, 1), "cifar": (8, 8, 3)})
    found = images.measure(what, rounds=1, num_steps=1, batch_size=2, **options)
    assert rows <= set(found["timings"])
    assert all(0 < value < np.inf for value in found["derived"].values())
    assert {f"images/s, {name}" for name in rows} <= set(found["derived"])
    json.dumps(found)


def test_bad_input():
    with pytest.raises(ValueError, match="found 'resnet81'"):
        images.measure("resnet81", rounds=1, num_steps=1, batch_size=1)
