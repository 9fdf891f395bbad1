"""Logistic regression against scikit-learn's, and where scikit-learn has no say: batches, tracing, broken input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from identax.metrics import LogisticFit, logistic_regression

KINDS = {"rare": (56, 90, 2.0), "common": (400, 6, 0.5), "separable": (60, 8, 30.0)}


def _data(num, dim, signal, seed=0):
    """Correlated features of uneven scale; `signal` is the distance of the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num) % 2)
    direction = rng.normal(size=dim) / np.sqrt(dim)
    x = rng.normal(size=(num, dim)) @ (np.eye(dim) + 0.3 * rng.normal(size=(dim, dim)))
    return x + signal * np.outer(labels, direction) + 0.7, labels


def _reference(x, labels, l2=1.0):
    return LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_has_the_optimum_of_scikit_learn(x64, kind):
    x, labels = _data(*KINDS[kind])
    fit = jax.jit(logistic_regression)(x, labels)
    wanted = _reference(x, labels)
    np.testing.assert_allclose(fit.weights, wanted.coef_[0], atol=1e-9)
    np.testing.assert_allclose(fit.intercept, wanted.intercept_[0], atol=1e-9)
    np.testing.assert_array_equal(fit.predict(x), wanted.predict(x))


def test_float32_is_as_good_as_float32_can_be():
    x, labels = _data(*KINDS["rare"])
    fit = logistic_regression(x.astype(np.float32), labels)
    assert fit.weights.dtype == jnp.float32
    wanted = _reference(x, labels)
    np.testing.assert_allclose(fit.weights, wanted.coef_[0], atol=1e-5)
    np.testing.assert_allclose(fit.intercept, wanted.intercept_[0], atol=1e-5)


def test_batches_of_data_and_penalties_are_fitted_together(x64):
    data = [_data(*KINDS["rare"], seed=seed) for seed in range(10)]
    x, labels = (np.stack(parts) for parts in zip(*data, strict=True))
    penalties = jnp.logspace(-2, 2, 10)
    fit = jax.jit(jax.vmap(lambda *args: logistic_regression(*args[:2], l2=args[2])))(x, labels, penalties)
    for number in (0, 4, 9):
        wanted = _reference(x[number], labels[number], penalties[number].item())
        np.testing.assert_allclose(fit.weights[number], wanted.coef_[0], atol=1e-8)


def test_steps_shrink_the_objective_and_the_last_has_no_gradient(x64):
    x, labels = _data(*KINDS["separable"])

    def objective(fit):
        margins = (2 * labels - 1) * (x @ fit.weights + fit.intercept)
        return jnp.sum(jnp.logaddexp(0.0, -margins)) + jnp.sum(fit.weights**2) / 2

    fits = [logistic_regression(x, labels, max_steps=steps) for steps in (0, 1, 3, 100)]
    values = [float(objective(fit)) for fit in fits]
    assert values == sorted(values, reverse=True) and values[0] > 1.5 * values[-1]
    np.testing.assert_allclose(
        jnp.concatenate([jnp.atleast_1d(g) for g in jax.grad(objective)(fits[-1])]), 0, atol=1e-8
    )


@pytest.mark.parametrize("seed", [4, 5])
def test_outliers_need_few_steps(x64, seed):
    """Cauchy features: steps shortened by their bound alone need more than 100 of them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(1.0, size=(60, 3))
    labels = rng.permutation(60) % 2
    fit = logistic_regression(x, labels, max_steps=25)
    margins = x @ np.asarray(fit.weights) + float(fit.intercept)
    residual = 1 / (1 + np.exp(-margins)) - labels
    np.testing.assert_allclose(x.T @ residual + np.asarray(fit.weights), 0, atol=1e-7)
    np.testing.assert_allclose(residual.sum(), 0, atol=1e-7)


def test_a_full_newton_step_that_overshoots_is_shortened(x64):
    """On these 8 samples with outliers the eighth whole step raises the objective to 2e9."""
    rng = np.random.default_rng(883)
    rng.integers(6, 40)
    x, labels = rng.standard_t(0.7, size=(8, 2)), rng.permutation(8) % 2
    values = []
    for steps in (0, 1, 4, 7, 8):
        fit = logistic_regression(x, labels, l2=1e-3, max_steps=steps)
        margins = (2 * labels - 1) * (x @ np.asarray(fit.weights) + float(fit.intercept))
        values.append(np.logaddexp(0, -margins).sum() + 5e-4 * float((fit.weights**2).sum()))
    assert values[1] < values[0]
    assert np.diff(values).max() <= 1e-9, values


def test_broken_features_spoil_only_their_own_fit():
    x, labels = _data(*KINDS["rare"])
    x = jnp.asarray(np.stack([x, x]), jnp.float32).at[1, 3, 3].set(jnp.nan)
    fit = jax.jit(jax.vmap(lambda one: logistic_regression(one, labels)))(x)
    alone = logistic_regression(x[0], labels)
    np.testing.assert_allclose(fit.weights[0], alone.weights, atol=1e-6)
    assert np.isnan(fit.weights[1]).all() and np.isnan(fit.intercept[1])


def test_constant_features_and_predictions_at_chance():
    labels = np.arange(8) % 2
    fit = logistic_regression(jnp.zeros((8, 2)), labels)
    assert not fit.weights.any() and not fit.intercept.any()
    np.testing.assert_array_equal(LogisticFit(jnp.ones(1), jnp.array(-1.0)).predict(np.array([[1.0], [1.1]])), [0, 1])


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda x, y: logistic_regression(x, y[:3]), "labels of shape"),
        (lambda x, y: logistic_regression(x[0], y), "wanted .N, m. and .N."),
        (lambda x, y: logistic_regression(x[:, :0], y), "N, m >= 1"),
        (lambda x, y: logistic_regression(x, y + 1), r"found labels \[1, 2\]"),
        (lambda x, y: logistic_regression(x, 0 * y), r"found labels \[0\], wanted 0 and 1, both"),
        (lambda x, y: logistic_regression(x, y, l2=0), "l2=0, wanted a positive"),
        (functools.partial(logistic_regression, l2=float("nan")), "l2=nan"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(jnp.ones((6, 2)), jnp.arange(6) % 2)
