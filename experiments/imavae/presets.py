"""What presets share: small networks, and small images, on fresh batches, and runs of seconds."""

import dataclasses
from typing import Any, TypeVar

from experiments.imavae.config import ImageConfig, VaeConfig

C = TypeVar("C", bound=VaeConfig)
I = TypeVar("I", bound=ImageConfig)


def quick(kind: type[C], *, num_steps: int, **own: Any) -> C:
    """A wider network than the authors' at twice their rate, fresh batches, one checkpoint; then the preset's `own`."""
    shared = {
        "num_layers": 3,
        "width": 20,
        "learning_rate": 2e-3,
        "batch_size": 256,
        "num_examples": None,
        "num_steps": num_steps,
        "log_every": 500,
        "checkpoint_every": num_steps,
        "num_evaluate": 4096,
    }
    return kind(**shared | own)


def longer(config: C, num_steps: int, **own: Any) -> C:
    """The same preset at more steps, still with one checkpoint."""
    return dataclasses.replace(config, num_steps=num_steps, checkpoint_every=num_steps, **own)


def smoke(config: C, *, num_steps: int = 20, **own: Any) -> C:
    """The same preset at sizes that take seconds, for tests: two trials, two log points."""
    shared = {
        "width": 4,
        "batch_size": 16,
        "num_steps": num_steps,
        "log_every": num_steps // 2,
        "evaluate_every": num_steps,
        "checkpoint_every": num_steps,
        "num_evaluate": 128,
        "num_seeds": 2,
    }
    return dataclasses.replace(config, **shared | own)


def small_images(kind: type[I], *, num_steps: int, **own: Any) -> I:
    """Images of 16 x 16 pixels and a perceptron, with a precision that grows to 64; then the preset's `own`.

    64 = (64 / 16)^3 leaves gamma^2 ||J_k||^2 of place and scale about as the published 1 at 64 x 64 does.
    """
    shared = {
        "size": 16,
        "network": "mlp",
        "hidden": (128, 64),
        "precision": 64.0,
        "precision_rule": "grown",
        "grown_from": 4.0,
        "learning_rate": 1e-3,
        "batch_size": 64,
        "num_examples": None,
        "num_steps": num_steps,
        "log_every": 250,
        "evaluate_every": 500,
        "checkpoint_every": num_steps,
        "num_evaluate": 512,
        "num_seeds": 2,
    }
    return kind(**shared | own)


def smoke_images(config: I, **own: Any) -> I:
    """The same preset at sizes that take seconds, for tests."""
    shared = {
        "size": 8,
        "hidden": (8,),
        "batch_size": 8,
        "num_steps": 8,
        "log_every": 2,
        "evaluate_every": 2,
        "checkpoint_every": 8,
        "num_evaluate": 64,
    }
    return dataclasses.replace(config, **shared | own)
