"""The image benchmarks run at a tiny size."""

import json

import numpy as np
import pytest

from benchmarks import images
from identax.models import small_convnet

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("what", "options", "rows"),
    [
        (
            "augmentations",
            {"alone": ("flip", "grayscale")},
            {"digits all", "digits flip", "cifar all", "cifar grayscale"},
        ),
        pytest.param("resnet18", {"width": 1}, {"float32", "bfloat16"}, marks=pytest.mark.slow),
    ],
)
def test_measures(what, options, rows, monkeypatch):
    monkeypatch.setattr(images, "_SHAPES", {"digits": (6, 6, 1), "cifar": (8, 8, 3)})
    # a ResNet-18 of any width compiles for half a minute
    monkeypatch.setattr(
        images, "resnet18", lambda width, compute: small_convnet((2,), features=8 * width, compute=compute)
    )
    found = images.measure(what, rounds=1, num_steps=1, batch_size=2, **options)
    assert rows <= set(found["timings"])
    assert all(0 < value < np.inf for value in found["derived"].values())
    assert {f"images/s, {name}" for name in rows} <= set(found["derived"])
    json.dumps(found)


def test_bad_input():
    with pytest.raises(ValueError, match="found 'resnet81'"):
        images.measure("resnet81", rounds=1, num_steps=1, batch_size=1)
