"""The benchmark of rendering runs at a tiny size."""

import json

import pytest

from benchmarks import catalogue, rendering

pytestmark = pytest.mark.slow


def test_it_measures_every_world():
    found = rendering.measure(batch_size=2, rounds=1, num_steps=1, size=8)
    worlds = ("sprites", "coloured sprites", "scenes", "polygons", "polygons, given")
    assert set(found["timings"]) == set(found["compile_seconds"]) == set(worlds)
    assert all(found["derived"][f"{name} (images/s)"] > 0 for name in found["timings"])
    json.dumps(found)
    assert catalogue.function(catalogue.FULL["rendering"]) is rendering.measure
