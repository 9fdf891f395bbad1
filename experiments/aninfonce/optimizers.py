"""The optimiser of the AnInfoNCE experiments: Adam, with a rate of its own for the precision vector."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax


def two_rate_adam(hparams: Mapping[str, Any], *, schedule: str, num_steps: int, flat: float = 0.0):
    """Adam with `learning_rate` for params["encoder"] and `precision_learning_rate` for params["raw_precision"].

    `schedule` "constant", or "cosine": constant for the share `flat` of `num_steps`, then a half cosine to 0.
    """
    rates = {"encoder": hparams["learning_rate"], "raw_precision": hparams["precision_learning_rate"]}
    groups: dict[Any, Any] = {
        name: optax.adam(rate if schedule == "constant" else cosine(rate, num_steps, flat))
        for name, rate in rates.items()
    }
    return optax.multi_transform(groups, lambda params: {name: name for name in params})


def cosine(rate: Any, num_steps: int, flat: float = 0.0) -> Callable[[Any], Any]:
    """A schedule: `rate` for the share `flat` of `num_steps`, then a half cosine to 0. `rate` may be traced."""

    def at(count):
        done = (count / num_steps - flat) / (1 - flat)
        return rate * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done, 0, 1)))

    return at
