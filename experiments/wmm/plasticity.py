"""The operators by name, behind plain descent, as the plasticity experiments compare them."""

from collections.abc import Mapping, Sequence
from typing import Any

import optax

from identax.transforms import (
    Hidden,
    Perturbation,
    continual_backprop,
    redo,
    reinitialise_weights,
    reset_weights,
    select,
    selective_reinitialisation,
    shrink_and_perturb,
    shuffle_weights,
)

BACKPROP, L2, SHRINK, CBP = "backprop", "L2", "shrink and perturb", "continual backprop"
REINIT, PERMUTE, RELEASED = "reinit", "shuffle", "shuffle, released"
REDO, SWR, RESET = "ReDo", "SWR", "Weights Reset"
OPERATORS = (BACKPROP, CBP, L2, REDO, SWR, RESET, SHRINK, REINIT, PERMUTE, RELEASED)
DECAYED = (L2, SHRINK)
"""operators with weight decay inside the gradient"""
TRACED = ("step_size", "weight_decay", "sigma", "rate", "p", "tau", "share")
"""strengths: fields of the experiments' configs that may be swept in one program"""


def descent(operator: str, hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    """Gradient descent with `step_size`, for L2 and shrink-and-perturb with `weight_decay` in the gradient."""
    sgd = optax.sgd(hparams["step_size"])
    return optax.chain(optax.add_decayed_weights(hparams["weight_decay"]), sgd) if operator in DECAYED else sgd


def perturbation_of(
    operator: str,
    hparams: Mapping[str, Any],
    layers: Sequence[Hidden],
    *,
    c: float,
    maturity: int,
    mode: str,
    every: int,
    key: Any = 0,
) -> Perturbation | None:
    """What `operator` does to the parameters after `every` updates; None for those that only descend.

    Strengths are traced: `p` (reinit, both shuffles, Weights Reset), `sigma` (shrink-and-perturb: a deviation), `rate`
    (continual backpropagation), `tau` (ReDo), `share` (SWR). `mode`, "intended" or "released", is that of continual
    backpropagation and of reinit. Raises `ValueError` for an unknown operator, and continual backpropagation unless
    after every update.
    """
    if operator not in OPERATORS:
        raise ValueError(f"perturbation_of: found operator {operator!r}, wanted one of {OPERATORS}")
    if operator == CBP and every != 1:
        raise ValueError(f"perturbation_of: found continual backprop every {every} updates, wanted it after each")
    when: Any = {"every": every, "key": key}
    makers = {
        SHRINK: lambda: shrink_and_perturb(1.0, hparams["sigma"], **when),
        CBP: lambda: continual_backprop(layers, rate=hparams["rate"], maturity=maturity, mode=mode, key=key),
        REINIT: lambda: reinitialise_weights(hparams["p"], c, mode=mode, **when),
        PERMUTE: lambda: shuffle_weights(hparams["p"], c, on=_shuffled(layers), **when),
        RELEASED: lambda: shuffle_weights(hparams["p"], c, mode="released", on=_shuffled(layers), **when),
        REDO: lambda: redo(layers, tau=hparams["tau"], **when),
        SWR: lambda: selective_reinitialisation(hparams["share"], **when),
        RESET: lambda: reset_weights(hparams["p"], **when),
    }
    return makers[operator]() if operator in makers else None


def _shuffled(layers: Sequence[Hidden]) -> Any:
    """Kernels into hidden layers: in a small output layer windows of two weights may not exist."""
    return select("|".join(layer.kernel for layer in layers))
