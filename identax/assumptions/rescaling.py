"""Weights that are not identified: a layer of rectified units is the same function at every scale of its two halves."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_positive, concrete
from identax.inputs import float_type, numbers


class Rescaled(NamedTuple):
    """Weights and bias into the hidden units, and the weights out of them."""

    first: Any
    bias: Any
    second: Any


HOMOGENEOUS = ("relu", "leaky_relu", "linear")
"""activations with phi(a x) = a phi(x) for a > 0"""


def rescaled(first: Any, bias: Any, second: Any, alpha: Any) -> Rescaled:
    """(W1, b1, W2) -> (alpha W1, alpha b1, W2 / alpha): the function W2 phi(W1 x + b1) stays what it is.

    For phi(a x) = a phi(x), a > 0. W1 [..., d, h], b1 [..., h] and W2 [..., h, o]; alpha, which may be traced, is one
    number, or one per hidden unit, [h] or [..., h]. Gradients become dW1 / alpha, db1 / alpha and alpha dW2.
    Raises `ValueError` for alpha that is not positive in the arrays' type, shapes that do not fit, and what is no array
    of numbers.
    Source: Reizinger et al. 2024, case study 3. The published `relu_rescale`, phi(alpha x) / alpha, changes
    neither the function nor a gradient.
    """
    check_positive("rescaled", "alpha", alpha)
    given = {"first": first, "bias": bias, "second": second}
    arrays = [numbers("rescaled", name, value) for name, value in given.items()]
    dtype = float_type(*arrays)
    first, bias, second = (jnp.asarray(array, dtype) for array in arrays)
    alpha = jnp.asarray(alpha, dtype)
    size, lead = bias.shape[-1:], bias.shape[:-1]
    fits = first.ndim == second.ndim == bias.ndim + 1 and first.shape[-1:] == second.shape[-2:-1] == size
    if not fits or (first.shape[:-2], second.shape[:-2]) != (lead, lead) or alpha.shape not in ((), size, bias.shape):
        raise ValueError(
            f"rescaled: found first {first.shape}, bias {bias.shape}, second {second.shape} and alpha {alpha.shape}, "
            "wanted [..., d, h], [..., h], [..., h, o], and a number or one per hidden unit"
        )
    known, least = concrete(alpha), jnp.finfo(dtype).tiny
    if known is not None and known.min() < least:
        raise ValueError(f"rescaled: found alpha={known.min():g} in {dtype}, wanted at least {least:g}")
    units = jnp.broadcast_to(alpha, bias.shape)
    return Rescaled(units[..., None, :] * first, units * bias, second / units[..., :, None])


def rescaling_report(alpha: float | int, *, activation: str = "relu", optimizer: str = "sgd") -> Report:
    """Do two networks of one function fine-tune alike? What alpha does to the first step, in function space.

    `optimizer`: "sgd", whose step is the gradient, or "adam", whose step has about the same size in every weight.
    Raises `ValueError` for alpha <= 0 and another optimiser.
    Source: Reizinger et al. 2024, case study 3; the factors: own, by the chain rule.
    """
    check_positive("rescaling_report", "alpha", alpha, ())
    if optimizer not in ("sgd", "adam"):
        raise ValueError(f"rescaling_report: found optimizer={optimizer!r}, wanted 'sgd' or 'adam'")
    grows = float(alpha) * float(alpha) if optimizer == "sgd" else float(alpha)
    if not 0 < grows < math.inf:
        raise ValueError(f"rescaling_report: found alpha={alpha}, wanted one whose square is a number")
    moved = "learning rate times its gradient" if optimizer == "sgd" else "about the learning rate in every weight"
    premises = (
        Premise(
            "positively homogeneous activation",
            activation in HOMOGENEOUS,
            activation,
            "only then the scale passes through it",
        ),
        Premise("parameters identified", False, f"alpha = {alpha:g} gives the same function", "and the same loss"),
    )
    predictions = (
        Prediction("loss before fine-tuning", "equal", "the functions are equal"),
        Prediction("first step through W1, factor", 1 / grows, f"W1 moves by {moved}"),
        Prediction("first step through W2, factor", grows, f"W2 moves by {moved}"),
    )
    return Report(premises, predictions)
