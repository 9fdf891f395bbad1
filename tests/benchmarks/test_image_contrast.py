"""The benchmark of image contrasts runs at a tiny size, where both ways must agree, and on a part of the pixels."""

import json

import pytest

from benchmarks import catalogue, image_contrast

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pixels, share", [(None, 1), (48, 0.25)])
def test_it_times_both_ways(pixels, share):
    found = image_contrast.measure(sizes=(8,), num=2, rounds=1, pixels=pixels)
    assert set(found["timings"]) == {"forward, 8", "backward, 8"}
    assert found["settings"]["share of pixels"] == [share]
    (ratio,) = found["derived"].values()
    assert ratio > 0
    json.dumps(found)
    assert catalogue.function(catalogue.FULL["image-contrast"]) is image_contrast.measure
