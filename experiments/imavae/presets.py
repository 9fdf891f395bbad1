"""What the presets of the synthetic experiments share: small networks on fresh batches, and runs of seconds."""

import dataclasses
from typing import Any, TypeVar

from experiments.imavae.config import VaeConfig

C = TypeVar("C", bound=VaeConfig)


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
