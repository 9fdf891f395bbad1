"""NOTEARS: a linear structural equation model whose graph is kept acyclic by a smooth constraint."""

import functools
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
from jax.core import Tracer
from jaxtyping import Bool, Float
from threadpoolctl import ThreadpoolController

from identax.causal._samples import Data
from identax.checks import check_choice, check_count, check_finite, check_nonnegative, check_positive, shape_of
from identax.inputs import numbers

_LARGEST_PENALTY, _PROGRESS = 1e20, 0.25
_REFUSED = 1e100  # the objective of weights whose exponential overflows: the line search steps back from them


class Notears(NamedTuple):
    """`adjacency` [d, d], entry (i, j) of i -> j: |W| > threshold; `weights` W before the threshold; `acyclicity` h(W);
    `converged`: h(W) <= tolerance."""

    adjacency: Bool[np.ndarray, "d d"]
    weights: Float[np.ndarray, "d d"]
    acyclicity: float
    converged: bool


def notears(
    x: Data,
    *,
    threshold: Any = 0.3,
    l1: Any = 0.0,
    standardise: bool = False,
    tolerance: Any = 1e-8,
    max_iterations: int = 100,
) -> Notears:
    """The linear model x = x W + noise of least squares whose graph has no directed cycle.

        min_W  1/(2 n) |X - X W|_F^2 + l1 |W|_1   subject to   h(W) = tr exp(W o W) - d = 0,   diag W = 0

    by the augmented Lagrangian (L-BFGS-B within; the penalty grows tenfold until h falls to a quarter, up to 1e20).
    What is found depends on the units of the columns: least squares prefers edges into columns of large variance
    (`metrics.varsortability`), `standardise` takes mean and scale away. X is not centred otherwise, as in the code of
    the authors. With `threshold` 0 hardly an entry is exactly 0, and the graph is complete, both ways.
    Args: `x` [n, d], d >= 2, on the host: it is no function for `jit`, and it computes in float64 always.
    Raises `ValueError` for other shapes, entries that are not finite, a constant column with `standardise`, negative
    `threshold` or `l1`, tolerance <= 0, max_iterations < 1.
    Source: Zheng et al., "DAGs with NO TEARS", NeurIPS 2018.
    """
    where = "notears"
    values = _checked(where, x)
    for name, value in (("threshold", threshold), ("l1", l1)):
        check_nonnegative(where, name, value, ())
    check_positive(where, "tolerance", tolerance, ())
    check_count(where, "max_iterations", max_iterations)
    check_choice(where, "standardise", str(standardise), ("True", "False"))
    if standardise:
        scale = values.std(axis=0)
        if (scale <= 1e-12 * np.abs(values).max(axis=0)).any():
            raise ValueError(f"{where}: found a constant column, wanted none where columns are standardised")
        values = (values - values.mean(axis=0)) / scale
    with _libraries().limit(limits=1, user_api="blas"):
        weights, acyclicity = _solve(values.T @ values / len(values), float(l1), float(tolerance), max_iterations)
    return Notears(np.abs(weights) > float(threshold), weights, acyclicity, acyclicity <= tolerance)


@functools.cache
def _libraries() -> ThreadpoolController:
    """Of linear algebra: on matrices [d, d] their threads only wait for each other, 50 times as long on busy cores."""
    return ThreadpoolController()


def _checked(where: str, x: Data) -> np.ndarray:
    if isinstance(x, Tracer):
        raise ValueError(f"{where}: found x that is being traced, wanted an array: this runs on the host")
    shape = shape_of(x)
    if len(shape) != 2 or shape[0] < 2 or shape[1] < 2:
        raise ValueError(f"{where}: found x of shape {shape}, wanted [n, d] with n >= 2 and d >= 2")
    values = np.asarray(numbers(where, "x", x), np.float64)
    check_finite(where, "x", values)
    return values


def _solve(moments: np.ndarray, l1: float, tolerance: float, max_iterations: int) -> tuple[np.ndarray, float]:
    """W and h(W) from the second moments X^T X / n, which are all that the least squares ask of the data."""
    d = len(moments)
    signs = 2 if l1 else 1  # |w| is smooth for positive and negative parts apart
    free = (0.0, None) if l1 else (None, None)
    bounds = [(0.0, 0.0) if i == j else free for _ in range(signs) for i in range(d) for j in range(d)]

    def matrix(point):
        parts = point.reshape(signs, d, d)
        return parts[0] - parts[1] if l1 else parts[0]

    def objective(point, penalty, multiplier):
        weights = matrix(point)
        residual = np.eye(d) - weights
        with np.errstate(all="ignore"):
            exponential = scipy.linalg.expm(weights * weights)
        cyclic = np.trace(exponential) - d
        if not np.isfinite(exponential).all() or cyclic > _REFUSED**0.25:
            return _REFUSED, np.zeros_like(point)
        value = 0.5 * np.sum(residual * (moments @ residual)) + 0.5 * penalty * cyclic**2 + multiplier * cyclic
        slope = -moments @ residual + (penalty * cyclic + multiplier) * 2 * weights * exponential.T
        if not l1:
            return value, slope.ravel()
        return value + l1 * point.sum(), np.concatenate([(slope + l1).ravel(), (l1 - slope).ravel()])

    point, cyclic, penalty, multiplier = np.zeros(signs * d * d), np.inf, 1.0, 0.0
    for _ in range(max_iterations):
        best, found = point, np.inf
        while penalty < _LARGEST_PENALTY and (found > _PROGRESS * cyclic or not np.isfinite(found)):
            best = scipy.optimize.minimize(
                objective, point, args=(penalty, multiplier), jac=True, method="L-BFGS-B", bounds=bounds
            ).x
            found = float(np.trace(scipy.linalg.expm(matrix(best) ** 2)) - d)
            if found > _PROGRESS * cyclic:
                penalty *= 10
        if not np.isfinite(found):
            break
        point, cyclic = best, found
        multiplier += penalty * cyclic
        if cyclic <= tolerance:
            break
    return matrix(point), cyclic
