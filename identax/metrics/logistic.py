"""Binary logistic regression to its optimum; many can be fitted in one program."""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from identax.checks import check_positive, concrete, shape_of
from identax.inputs import kept, numbers
from identax.metrics._samples import Samples

_HIGHEST = jax.lax.Precision.HIGHEST
# Stops when the gradient has shrunk to eps^0.65: 3e-5 in float32, near the rounding of its sum, 7e-11 in float64.
_TOLERANCE_POWER = 0.65
_HALVINGS = 20


class LogisticFit(NamedTuple):
    """`weights` [m] and `intercept` []: P(label = 1 | x) = sigmoid(x . weights + intercept)."""

    weights: Float[Array, " m"]
    intercept: Float[Array, ""]

    def predict(self, features: Samples) -> Num[Array, " N"]:
        """Labels 0 or 1 [N]: 1 where the probability is above 1/2."""
        features = kept("LogisticFit.predict", "features", features)
        margins = jnp.matmul(features, self.weights, precision=_HIGHEST) + self.intercept
        return (margins > 0).astype(jnp.int32)


def logistic_regression(
    features: Samples,
    labels: Samples,
    *,
    l2: Float[Array, ""] | float | int = 1.0,
    max_steps: int = 100,
) -> LogisticFit:
    """Weights and intercept of L2-regularised logistic regression with labels 0 and 1.

        min_{w, b}  sum_i log(1 + exp(-s_i (w . x_i + b))) + l2/2 |w|^2,    s_i = 2 label_i - 1

    The intercept is not penalised; the sum is over samples, so l2 is scikit-learn's 1 / C. Truncated Newton: directions
    by conjugate gradients, lengths that never raise the objective. In float64 the weights are those of a direct solver
    to 1e-6 or better. NaN for features that are not finite. No derivatives in reverse mode.
    Args: `features` [N, m], `labels` [N]; `l2` may be traced.
    Raises `ValueError` for unequal numbers of samples, known labels other than 0 and 1 or of one kind alone (then the
    intercept has no optimum), floating labels, l2 <= 0, and features that float32 would rob of their digits: then take
    their mean off, the weights are the same.
    Source: Bach 2010, "Self-concordant analysis for logistic regression", for the length of steps; l2 = 1 is the
    readout of Reizinger et al. 2025 on ImageNet-X.
    """
    features, labels = (numbers("logistic_regression", *pair) for pair in (("features", features), ("labels", labels)))
    _check(features, labels, l2)
    # Not centred: the intercept is that of the features as they are given.
    return _fit(kept("logistic_regression", "features", features), labels, l2, max_steps)


@functools.partial(jax.jit, inline=True)
def _fit(x, labels, l2, max_steps) -> LogisticFit:
    signs = 2 * labels.astype(x.dtype) - 1
    l2 = jnp.asarray(l2, x.dtype)
    start = jnp.zeros(x.shape[1] + 1, x.dtype)
    size = jnp.sqrt(jnp.sum(_gradient(x, signs, l2, start, jnp.zeros_like(signs))[0] ** 2))
    tolerance = size * jnp.finfo(x.dtype).eps ** _TOLERANCE_POWER

    def unfinished(carry):
        _, step, left = carry
        return (step < max_steps) & (left > tolerance)

    def update(carry):
        params, step, _ = carry
        margins = signs * _margins(x, params)
        gradient, curvature = _gradient(x, signs, l2, params, margins)
        left = jnp.sqrt(jnp.sum(gradient**2))
        direction = _newton_direction(x, curvature, l2, gradient, jnp.minimum(0.1, jnp.sqrt(left / size)))
        penalty = l2 * direction[:-1]
        slopes = -jnp.sum(penalty * params[:-1]), jnp.sum(penalty * direction[:-1])
        length = _length(margins, signs * _margins(x, direction), slopes)
        return params - length * direction, step + 1, left

    params, *_ = cast(Any, jax.lax.while_loop(unfinished, update, (start, jnp.zeros((), jnp.int32), size)))
    params = jnp.where(jnp.all(jnp.isfinite(x)), params, jnp.nan)
    return LogisticFit(params[:-1], params[-1])


def _margins(x, params):
    return jnp.matmul(x, params[:-1], precision=_HIGHEST) + params[-1]


def _transposed(x, values):
    return jnp.append(jnp.matmul(values, x, precision=_HIGHEST), jnp.sum(values))


def _penalised(l2, params):
    return (l2 * params).at[-1].set(0.0)


def _gradient(x, signs, l2, params, margins):
    """Gradient [m + 1] and the second derivatives of the losses by their margins [N]."""
    wrong = jax.nn.sigmoid(-margins)
    return _transposed(x, -signs * wrong) + _penalised(l2, params), wrong * (1 - wrong)


def _length(margins, changes, slopes):
    """How much of a Newton step lowers the objective for certain.

    All of it if no margin changes by more than 1 =: R, as the third derivative of the loss is at most the second, or
    if the objective still falls at its end; otherwise up to the minimum on the way, which is behind log(1 + R) / R.
    """

    def rises(length):
        """Whether the objective rises at this share of the step: the sign of its derivative there."""
        loss = jnp.sum(changes * jax.nn.sigmoid(length * changes - margins))
        return loss + slopes[0] + length * slopes[1] > 0

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        above = rises(middle)
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    largest = jnp.max(jnp.abs(changes))
    low = jnp.where(largest > 0, jnp.log1p(largest) / jnp.where(largest > 0, largest, 1.0), 1.0)
    one = jnp.ones_like(low)
    low, _ = jax.lax.fori_loop(0, _HALVINGS, halve, (low, one))
    return jnp.where((largest <= 1) | ~rises(one), one, low)


def _newton_direction(x, curvature, l2, gradient, tolerance):
    """Solves Hessian d = gradient by conjugate gradients, to a residual of `tolerance` times the gradient."""
    stop = tolerance**2 * jnp.sum(gradient**2)
    most = 2 * min(gradient.shape[0], x.shape[0] + 2)

    def unfinished(carry):
        _, _, _, rest, step = carry
        return (step < most) & (rest > stop)

    def update(carry):
        solution, residual, search, rest, step = carry
        image = _transposed(x, curvature * _margins(x, search)) + _penalised(l2, search)
        bend = jnp.sum(search * image)
        length = jnp.where(bend > 0, rest / jnp.where(bend > 0, bend, 1.0), 0.0)
        solution, residual = solution + length * search, residual - length * image
        left = jnp.sum(residual**2)
        left = jnp.where(bend > 0, left, 0.0)
        search = residual + left / jnp.where(rest > 0, rest, 1.0) * search
        return solution, residual, search, left, step + 1

    start = (jnp.zeros_like(gradient), gradient, gradient, jnp.sum(gradient**2), jnp.zeros((), jnp.int32))
    return cast(Any, jax.lax.while_loop(unfinished, update, start))[0]


def _check(features, labels, l2):
    if len(shape_of(features)) != 2 or shape_of(labels) != shape_of(features)[:1] or 0 in shape_of(features):
        raise ValueError(
            f"logistic_regression: found features of shape {shape_of(features)} and labels of shape "
            f"{shape_of(labels)}, wanted [N, m] and [N] with N, m >= 1"
        )
    if jnp.issubdtype(labels.dtype, jnp.floating):
        raise ValueError(f"logistic_regression: found labels of type {labels.dtype}, wanted integers or booleans")
    check_positive("logistic_regression", "l2", l2, ())
    known = concrete(labels)
    if known is not None:
        found = np.unique(known).tolist()
        if found != [0, 1]:
            raise ValueError(f"logistic_regression: found labels {found[:4]}, wanted 0 and 1, both of them")
