"""The optimiser of the AnInfoNCE experiments: Adam, with a rate of its own for the precision vector."""

from collections.abc import Mapping
from typing import Any

import optax

from identax.transforms import cosine


def two_rate_adam(hparams: Mapping[str, Any], *, schedule: str, num_steps: int, flat: float = 0.0):
    """Adam with `learning_rate` for params["encoder"], `precision_learning_rate` for params["raw_precision"] if any.

    `schedule` "constant", or "cosine": constant for the share `flat` of `num_steps`, then a half cosine to 0.
    """
    rates = {"encoder": hparams["learning_rate"], "raw_precision": hparams["precision_learning_rate"]}
    groups: dict[Any, Any] = {
        name: optax.adam(rate if schedule == "constant" else cosine(rate, num_steps, flat))
        for name, rate in rates.items()
    }
    # Not `per_group`, which wants parameters for every rate: InfoNCE has no precision.
    return optax.multi_transform(groups, lambda params: {name: name for name in params})
