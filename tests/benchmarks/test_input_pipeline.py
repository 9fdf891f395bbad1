"""The benchmark of the input pipeline runs at a tiny size and tells a slow loader from a fast one."""

import dataclasses
import json
import time

import numpy as np
import pytest

from benchmarks import catalogue, input_pipeline
from identax.data import image_source


@pytest.mark.slow
def test_it_measures_every_source_alone_and_feeding_steps():
    found = input_pipeline.measure(num_images=8, batch_size=4, rounds=1, num_steps=4, log_every=2, side=8, crop=16)
    assert {"digits", "tfds", "tfds in memory", "jpeg, scaled", "step fed by tfds"} <= set(found["timings"])
    assert all(found["derived"][f"{name} (images/s)"] > 0 for name in ("digits", "tfds", "jpeg, scaled"))
    assert "device waits for digits (%)" in found["derived"] and "device waits for tfds (%)" in found["derived"]
    assert set(found["compile_seconds"]) == {"digits", "tfds"}
    json.dumps(found)
    assert callable(catalogue.function(catalogue.FULL["input-pipeline"]))


@pytest.mark.slow
def test_a_slow_source_shows_as_waiting():
    digits = image_source("digits")

    def slowly(indices):
        time.sleep(0.4)  # in each of four threads, so a batch every 0.1 s
        return digits.read(indices)

    steps, waited, _ = input_pipeline._fed(dataclasses.replace(digits, read=slowly), 8, 1, 40, 5)
    assert np.sum(waited) > 0.3 * np.sum(steps)
