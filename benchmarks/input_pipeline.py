"""Images per second of the input pipeline, and how long the device waits for them while it trains."""

import dataclasses
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import tiny_images
from benchmarks.timing import Measurement, alternate
from identax.data import ImageSource, epoch_batches, image_source
from identax.data.batches import epoch_indices
from identax.losses import infonce
from identax.models import mlp
from identax.rng import stream
from identax.run import make_mesh, run
from identax.run.results import WAITED
from identax.study import Study, Trials, gradient_study

_FILLING = 0.5  # seconds in which the buffer of eight batches fills


def study_of(source: ImageSource, held: np.ndarray | None = None, batch_size: int = 0) -> Study:
    """InfoNCE between images and noisy copies: fed by a loader, or out of images `held` on the device.

    Three dense layers encode; of 32 x 32 x 3 pixels that is a hundredth of ResNet-18's work, so a hard test.
    """
    encoder = mlp((1024, 256, 32), activation="relu", head="sphere")
    pixels = math.prod(source.image_shape)

    def encode(params, images):
        return encoder.apply({"params": params}, images.reshape(images.shape[0], -1))[0]

    def loss(params, state, batch, key):
        x = batch["image"].astype(jnp.float32) / 255
        first, second = (x + 0.1 * jax.random.normal(stream(key, view), x.shape) for view in ("first", "second"))
        return infonce(encode(params, first), encode(params, second)), (None, {})

    def sample(state, key):
        assert held is not None
        order = stream(state.key, "order")
        indices = epoch_indices(order, state.step, num_examples=len(held), batch_size=batch_size)
        return {"image": jnp.take(jnp.asarray(held), indices, axis=0)}

    return gradient_study(
        init=lambda key, hparams: (None, encoder.init(key, jnp.zeros((1, pixels)))["params"], None),
        loss=loss,
        optimizer=lambda hparams: optax.adam(1e-3),
        evaluate=lambda state, key: {},
        sample=None if held is None else sample,
    )


def measure(
    *, num_images: int, batch_size: int, rounds: int, num_steps: int, log_every: int, side: int = 32, crop: int = 224
) -> dict[str, Any]:
    """Times the pipeline alone (seconds per batch) and training steps that it feeds (seconds per step).

    Sources: the packaged digits; `num_images` png images of `side` x `side` x 3 in tensorflow-datasets' format, decoded
    as they are drawn; alone, also the same held in memory, and JPEGs of varied size scaled to `crop`. A run of
    `num_steps` begins with a full buffer, so that it shows the steady state. Derived: images per second, and the share
    of all runs' time in which the device waited.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(Path(folder), num_images, side, crop)
        timings = _pipeline_alone(sources, batch_size, rounds, num_steps)
        derived = {f"{name} (images/s)": batch_size / timings[name].median for name in sources}
        compile_seconds = {}
        for name in ("digits", "tfds"):
            steps, waited, compile_seconds[name] = _fed(sources[name], batch_size, rounds, num_steps, log_every)
            timings[f"step fed by {name}"] = Measurement.of(steps)
            derived[f"device waits for {name} (%)"] = 100 * float(np.sum(waited) / np.sum(steps))
        steps, _, _ = _fed(sources["digits"], batch_size, rounds, num_steps, log_every, held=True)
        timings["step, digits on the device"] = Measurement.of(steps)
    sizes = {"num_images": num_images, "batch_size": batch_size, "side": side, "crop": crop}
    return {
        "settings": {**sizes, "num_steps": num_steps, "log_every": log_every},
        "unit": "seconds per batch or step",
        "compile_seconds": compile_seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }


def _sources(folder: Path, num: int, side: int, crop: int) -> dict[str, ImageSource]:
    tiny_images.prepare(folder / "png", num=num, shape=(side, side, 3))
    tiny_images.prepare(folder / "jpeg", num=num, shape=(None, None, 3), encoding="jpeg")
    tiny = image_source("tiny_images", data_dir=folder / "png")
    return {
        "digits": image_source("digits"),
        "tfds": tiny,
        "tfds in memory": tiny.in_memory(),
        "jpeg, scaled": image_source("tiny_images", data_dir=folder / "jpeg", size=crop),
    }


def _pipeline_alone(
    sources: dict[str, ImageSource], batch_size: int, rounds: int, num_batches: int
) -> dict[str, Measurement]:
    def drain(source: ImageSource, count: int) -> None:
        iterator = epoch_batches(source, batch_size=batch_size, seed=0)
        for _ in range(count):
            next(iterator)
        iterator.close()

    counts = {name: max(num_batches // 4, 2) if name == "jpeg, scaled" else num_batches for name in sources}
    drains = {name: lambda name=name: drain(sources[name], counts[name]) for name in sources}
    return alternate(drains, rounds=rounds, units=counts)


def _fed(
    source: ImageSource, batch_size: int, rounds: int, num_steps: int, log_every: int, *, held: bool = False
) -> tuple[list[float], list[float], float]:
    """Seconds per step, seconds per step that the device waited, one each per round; and the time to compile."""
    images = source.read_batch(np.arange(len(source)))["image"] if held else None
    study, trials = study_of(source, images, batch_size), Trials.grid(1)
    mesh = make_mesh(devices=jax.devices()[:1])

    def seconds() -> dict[str, float]:
        feed = None if held else epoch_batches(source, batch_size=batch_size, seed=0)
        if feed is not None:
            next(feed)  # starts the threads
            time.sleep(_FILLING)
        options = {"num_steps": num_steps, "log_every": log_every, "mesh": mesh, "progress": False}
        found = run(study, trials, batches=feed, **options).seconds
        if feed is not None:
            feed.close()
        return {WAITED: 0.0, **found}

    compiling = seconds()["compile"]
    rows = [seconds() for _ in range(rounds)]
    return [row["run"] / num_steps for row in rows], [row[WAITED] / num_steps for row in rows], compiling
