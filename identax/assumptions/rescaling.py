"""Weights that are not identified: a layer of rectified units is the same function at every scale of its two halves."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_positive
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

    For phi(a x) = a phi(x), a > 0. alpha may be traced, or one number per hidden unit in a shape that multiplies W1 and
    b1 and divides W2. Gradients become dW1 / alpha, db1 / alpha and alpha dW2.
    Raises `ValueError` for alpha that is not positive, and what is no array of numbers.
    Source: Reizinger et al. 2024, case study 3. The published `relu_rescale`, phi(alpha x) / alpha, changes
    neither the function nor a gradient.
    """
    check_positive("rescaled", "alpha", alpha)
    given = {"first": first, "bias": bias, "second": second}
    arrays = [numbers("rescaled", name, value) for name, value in given.items()]
    dtype = float_type(*arrays)
    first, bias, second = (jnp.asarray(array, dtype) for array in arrays)
    alpha = jnp.asarray(alpha, dtype)
    return Rescaled(alpha * first, alpha * bias, second / alpha)


def rescaling_report(alpha: float | int, *, activation: str = "relu", optimizer: str = "sgd") -> Report:
    """Do two networks of one function fine-tune alike? What alpha does to the first step, in function space.

    `optimizer`: "sgd", whose step is the gradient, or "adam", whose step has about the same size in every weight.
    Raises `ValueError` for alpha <= 0 and another optimiser.
    Source: Reizinger et al. 2024, case study 3; the factors: own, by the chain rule.
    """
    check_positive("rescaling_report", "alpha", alpha, ())
    if optimizer not in ("sgd", "adam"):
        raise ValueError(f"rescaling_report: found optimizer={optimizer!r}, wanted 'sgd' or 'adam'")
    power = 2 if optimizer == "sgd" else 1
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
        Prediction("first step through W1, factor", float(alpha) ** -power, f"W1 moves by {moved}"),
        Prediction("first step through W2, factor", float(alpha) ** power, f"W2 moves by {moved}"),
    )
    return Report(premises, predictions)
