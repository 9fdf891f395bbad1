"""Linear readout: which labels can a linear classifier read off frozen features?"""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from identax.checks import check_between, shape_of
from identax.inputs import centred, numbers
from identax.metrics._samples import Samples, warn_of_few
from identax.metrics.scaling import column_statistics

Labels = Samples
_HIGHEST = jax.lax.Precision.HIGHEST


def linear_readout_accuracy(
    features: Samples,
    labels: Labels,
    num_classes: int,
    *,
    test_features: Samples | None = None,
    test_labels: Labels | None = None,
    l2: float | int = 1e-4,
    max_steps: int = 200,
) -> Float[Array, ""]:
    """Accuracy of a multinomial logistic regression on frozen features (a linear probe).

    Minimises mean_i CE(softmax(W x_i + b), y_i) + l2/2 |W|^2 by L-BFGS over the training samples, x standardised
    by their mean and standard deviation (a constant dim becomes 0); the objective is strictly convex in W, so
    the start (zeros) does not matter. In scikit-learn's terms C = 1 / (l2 N). Returns the share of correctly
    classified test samples, or of training samples where no test set is given; NaN for non-finite features.
    Args: `features` [N, m], `labels` [N] in 0..num_classes-1; the split is the caller's.
    Raises `ValueError` for unequal numbers of samples, num_classes < 2, known labels out of range, l2 <= 0, or
    test features without test labels.
    Source: the linear evaluation protocol, as in Rusak et al. 2025, Tab. 1.
    """
    if (test_features is None) != (test_labels is None):
        raise ValueError("linear_readout_accuracy: found one of test_features and test_labels, wanted both or none")
    if test_features is None or test_labels is None:
        test_features, test_labels = features, labels
    if num_classes < 2 or not l2 > 0:
        raise ValueError(
            f"linear_readout_accuracy: found num_classes={num_classes}, l2={l2}, wanted num_classes >= 2, l2 > 0"
        )
    on_itself = test_features is features
    features, labels = _read("training", features, labels)
    test_features, test_labels = (features, labels) if on_itself else _read("test", test_features, test_labels)
    dim = shape_of(features)[-1] if len(shape_of(features)) else 0
    for name, x, y in (("training", features, labels), ("test", test_features, test_labels)):
        _check(name, x, y, num_classes, dim)
    if on_itself:
        warn_of_few("linear_readout_accuracy", features=features)
    features, test_features = centred(
        "linear_readout_accuracy", scaled=True, features=features, test_features=test_features
    )
    return _accuracy(features, labels, test_features, test_labels, l2, max_steps, num_classes)


@functools.partial(jax.jit, static_argnums=6, inline=True)
def _accuracy(features, labels, test_features, test_labels, l2, max_steps, num_classes):
    labels, test_labels = labels.astype(jnp.int32), test_labels.astype(jnp.int32)
    x, mean, scale = _standardise(features)
    weights, bias = _fit(x, labels, num_classes, l2, max_steps)
    test = (test_features - mean) / scale * (scale < jnp.inf)
    predicted = jnp.argmax(jnp.matmul(test, weights, precision=_HIGHEST) + bias[None, :], axis=1)
    accuracy = jnp.mean((predicted == test_labels).astype(features.dtype))
    finite = jnp.all(jnp.isfinite(features)) & jnp.all(jnp.isfinite(test_features))
    return jnp.where(finite, accuracy, jnp.nan)


def _read(name, features, labels):
    where = "linear_readout_accuracy"
    features, labels = numbers(where, f"{name} features", features), numbers(where, f"{name} labels", labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"{where}: found {name} labels of type {labels.dtype}, wanted integers")
    return features, labels


def _check(name, features, labels, num_classes, dim):
    if len(shape_of(features)) != 2 or features.shape[1] != dim or labels.shape != features.shape[:1]:
        raise ValueError(
            f"linear_readout_accuracy: found {name} features of shape {features.shape} with labels of shape "
            f"{labels.shape}, wanted [N, {dim}] and [N]"
        )
    if 0 in features.shape:
        raise ValueError(f"linear_readout_accuracy: found no {name} samples or dims ({features.shape})")
    check_between("linear_readout_accuracy", f"{name} labels", labels, 0, num_classes - 1)


def _standardise(x: Array) -> tuple[Array, Array, Array]:
    """Returns x standardised, the means and the scales (infinite for constant dims) as [1, m]."""
    mean, scale = column_statistics(x)
    return (x - mean) / scale, mean, scale


def _fit(x: Array, labels, num_classes: int, l2, max_steps) -> tuple[Array, Array]:
    """Returns weights [m, K] and bias [K] of the penalised multinomial logistic regression."""
    optimizer = optax.lbfgs()

    def objective(params):
        weights, bias = params
        logits = jnp.matmul(x, weights, precision=_HIGHEST) + bias[None, :]
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses) + 0.5 * l2 * jnp.sum(weights**2)

    value_and_grad = optax.value_and_grad_from_state(objective)
    tolerance = jnp.finfo(x.dtype).eps ** 0.6

    def unfinished(carry):
        _, _, step, size = carry
        return (step < max_steps) & (size > tolerance)

    def update(carry):
        params, state, step, _ = carry
        value, grad = value_and_grad(params, state=state)
        updates, state = optimizer.update(grad, state, params, value=value, grad=grad, value_fn=objective)
        return optax.apply_updates(params, updates), state, step + 1, optax.tree.norm(grad)

    params = (jnp.zeros((x.shape[1], num_classes), x.dtype), jnp.zeros(num_classes, x.dtype))
    start = (params, optimizer.init(params), jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, x.dtype))
    (weights, bias), *_ = cast(Any, jax.lax.while_loop(unfinished, update, start))
    return weights, bias
