"""Images: how many per second the augmentations make, and a ResNet-18 learns from, on synthetic images."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.timing import alternate, compiled, wait
from identax.augment import (
    colour_jitter,
    digit_views,
    horizontal_flip,
    pipeline,
    random_blur,
    random_grayscale,
    random_resized_crop,
    simclr_cifar,
)
from identax.losses import aninfonce
from identax.models import normalize, projector, resnet18

_SHAPES = {"digits": (28, 28, 1), "cifar": (32, 32, 3)}
_ON_ACCELERATOR = 16
"""times as many images in a batch there"""


def measure(what: str, *, rounds: int, num_steps: int, batch_size: int, **options: Any) -> dict[str, Any]:
    """`what` "augmentations": seconds per image of whole pipelines and of the augmentations in `alone` (default: all).

    "resnet18": seconds per training step (two views, ResNet-18 of `width`, projector, AnInfoNCE, SGD) in float32 and
    bfloat16. A timing is over `num_steps` batches. `batch_size` holds for a CPU; an accelerator gets 16 times as many.
    Derived: images per second.
    """
    if what not in ("augmentations", "resnet18"):
        raise ValueError(f"images: found {what!r}, wanted 'augmentations' or 'resnet18'")
    num = batch_size * (1 if jax.default_backend() == "cpu" else _ON_ACCELERATOR)
    make = _augmentations if what == "augmentations" else _training
    programs, seconds, memory = make(num, **options)
    repeated = {name: lambda call=call: [call() for _ in range(num_steps)] for name, call in programs.items()}
    per_batch = num if what == "augmentations" else 1
    timings = alternate(repeated, rounds=rounds, units=num_steps * per_batch)
    # A step sees two views of every image, but counts its images once.
    images = 1 if what == "augmentations" else num
    rates = {f"images/s, {name}": images / timing.median for name, timing in timings.items()}
    return {
        "settings": {"batch_size": num, "backend": jax.default_backend(), **options},
        "unit": "seconds per image" if what == "augmentations" else "seconds per step",
        "compile_seconds": seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": {**rates, **memory},
    }


_ALONE: dict[str, Any] = {
    "crop": random_resized_crop,
    "flip": lambda size: horizontal_flip(),
    "jitter": lambda size: colour_jitter(),
    "grayscale": lambda size: random_grayscale(),
    "blur": lambda size: random_blur(),
}


def _augmentations(num: int, alone: Sequence[str] = tuple(_ALONE)):
    programs, seconds = {}, {}
    for name, shape in _SHAPES.items():
        pipelines: dict[str, Any] = {"all": digit_views if name == "digits" else simclr_cifar}
        for one in alone:
            if shape[2] == 3 or one != "grayscale":
                pipelines[one] = lambda size, one=one: pipeline([_ALONE[one](size)])
        images = jax.random.uniform(jax.random.key(0), (num, *shape))
        for one, make in pipelines.items():
            label = f"{name} {one}"
            program, seconds[label] = compiled(make(shape[0]), jax.random.key(1), images)
            programs[label] = lambda program=program, images=images: wait(program(jax.random.key(1), images))
    return programs, seconds, {}


def _training(num: int, width: int):
    programs, seconds, memory = {}, {}, {}
    images = jax.random.uniform(jax.random.key(0), (num, *_SHAPES["cifar"]))
    for compute in ("float32", "bfloat16"):
        step, state = training_step(images, width, compute)
        program, seconds[compute] = compiled(step, state, images, jax.random.key(1))
        programs[compute] = lambda program=program, state=state: wait(program(state, images, jax.random.key(1)))
        analysis = program.memory_analysis()
        if analysis is not None:
            memory[f"megabytes of temporaries, {compute}"] = analysis.temp_size_in_bytes / 1e6
    return programs, seconds, memory


def training_step(images: Any, width: int, compute: str):
    """A SimCLR step with AnInfoNCE, `step(state, images, key) -> (state, loss)`, and its first state."""
    augment = simclr_cifar(images.shape[1])
    head = projector((8 * width, 128), compute=compute)
    parts = {"backbone": resnet18(width=width, compute=compute), "projector": head}
    optimizer = optax.sgd(0.06, momentum=0.9)

    def embed(params, model_state, x):
        new = {}
        for name, model in parts.items():
            x, new[name] = model.apply({"params": params[name], "state": model_state[name]}, x, train=True)
        return normalize(x), new

    def step(state, images, key):
        params, model_state, opt_state = state
        keys = jax.random.split(key)
        views = jnp.concatenate([augment(keys[0], images)[0], augment(keys[1], images)[0]])

        def loss(params):
            z, new = embed(params, model_state, views)
            first, second = jnp.split(z, 2)
            return aninfonce(first, second, jax.nn.softplus(params["raw_precision"])).mean(), new

        (value, model_state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), model_state, opt_state), value

    @jax.jit
    def start(key):
        first = parts["backbone"].init(key, images[:2])
        second = parts["projector"].init(key, jnp.zeros((2, 8 * width)))
        params = {"backbone": first["params"], "projector": second["params"], "raw_precision": jnp.ones(128)}
        return params, {"backbone": first["state"], "projector": second["state"]}, optimizer.init(params)

    return step, wait(start(jax.random.key(2)))
