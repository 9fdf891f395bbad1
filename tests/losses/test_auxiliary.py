"""Losses with an auxiliary variable against literal sums, densities of SciPy, and their closed-form optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from identax.losses import (
    class_gaussian_nll,
    generalized_contrastive,
    half_squared_weights,
    label_scores,
    time_contrastive,
)

RNG = np.random.default_rng(0)
H, W, B = RNG.normal(size=(7, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=4)
U = np.array([0, 3, 1, 1, 2, 0, 3])


def test_time_contrastive_is_the_literal_sum(x64):
    logits = [[sum(w * h for w, h in zip(W[k], row, strict=True)) + B[k] for k in range(4)] for row in H]
    wanted = [np.log(np.exp(row).sum()) - row[u] for row, u in zip(np.array(logits), U, strict=True)]
    np.testing.assert_allclose(time_contrastive(H, W, B, U), wanted, rtol=1e-12)
    np.testing.assert_allclose(label_scores(H, W, B, U), np.array(logits)[np.arange(7), U], rtol=1e-12)


def test_decay_is_of_matrices_alone(x64):
    params = {"Dense_0": {"kernel": W, "bias": B}, "head": (3 * W.T, 7 * B), "radius": 5.0}
    np.testing.assert_allclose(half_squared_weights(params), 5 * (W**2).sum(), rtol=1e-12)
    gradient = jax.grad(lambda p: half_squared_weights(p))(jax.tree.map(jnp.asarray, params))
    np.testing.assert_allclose(gradient["Dense_0"]["kernel"], W, rtol=1e-12)
    np.testing.assert_array_equal(gradient["Dense_0"]["bias"], 0)
    assert half_squared_weights({"bias": B}) == 0


def test_generalized_contrastive_at_large_scores():
    found = generalized_contrastive(np.array([0.0, 2.0, 500.0, -500.0]), np.array([0.0, -1.0, -500.0, 500.0]))
    wanted = [2 * np.log(2), np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0)), 0, 1000]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_class_gaussian_is_the_density(x64):
    logs = RNG.normal(size=(4, 3))
    density = stats.norm.logpdf(H, W[U], np.exp(logs[U])).sum(axis=1)
    np.testing.assert_allclose(class_gaussian_nll(H, W, logs, U, constant=True), -density, rtol=1e-12)
    offset = class_gaussian_nll(H, W, logs, U, constant=True) - class_gaussian_nll(H, W, logs, U)
    np.testing.assert_allclose(offset, 1.5 * np.log(2 * np.pi), rtol=1e-12)


SCALES = np.array([[0.3, 1.0], [0.8, 0.5], [1.0, 0.2]])  # segments, sources
S = RNG.laplace(size=(3, 400, 2)) * SCALES[:, None, :]


def _posterior_logits(s):
    """log p_u(s) of equally long segments with Laplace sources: (-1 / scale) . |s| - sum log scale + const."""
    return -np.abs(s) @ (1 / SCALES).T - np.log(SCALES).sum(axis=1)


def test_true_parameters_give_the_bayes_posterior(x64):
    """With h = q(s) = |s|, w_u = lambda(u) and b_u = -log Z(u) the loss is -log P(u | s), by the exact densities."""
    s, u = S.reshape(-1, 2), np.repeat(np.arange(3), 400)
    densities = stats.laplace.pdf(s[:, None, :], scale=SCALES[None]).prod(axis=2)
    posterior = densities / densities.sum(axis=1, keepdims=True)
    found = time_contrastive(np.abs(s), -1 / SCALES, -np.log(SCALES).sum(axis=1), u)
    np.testing.assert_allclose(found, -np.log(posterior[np.arange(1200), u]), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_nothing_beats_the_posterior_in_expectation(x64):
    """The expected loss, over a fine grid of |s| under the true law, has its optimum at the true parameters alone."""
    grid = (np.arange(120) + 0.5) * 0.08
    q = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.exp(_posterior_logits(q))
    weights = weights / weights.sum()
    labels = [np.full(len(q), u) for u in range(3)]

    @jax.jit
    def expected(flat):
        head, bias = flat[:6].reshape(3, 2), flat[6:]
        per_label = jnp.stack([time_contrastive(q, head, bias, u) for u in labels], axis=1)
        return jnp.sum(per_label * weights)

    truth = np.concatenate([(-1 / SCALES).ravel(), -np.log(SCALES).sum(axis=1)])
    best = optimize.minimize(expected, np.zeros(9), jac=jax.jit(jax.grad(expected)), method="BFGS", tol=1e-9).x
    # A vector common to all segments cancels.
    for found, wanted in ((best[:6].reshape(3, 2), truth[:6].reshape(3, 2)), (best[6:], truth[6:])):
        np.testing.assert_allclose(found - found[:1], wanted - wanted[:1], atol=1e-4)
    assert expected(truth) < expected(0.9 * truth) - 1e-4


def test_the_logistic_optimum_is_the_pointwise_ratio(x64):
    """On a finite space r = log p(x, u) / (p(x) p(u)) is stationary, and another r is not."""
    joint = RNG.dirichlet(np.ones(12)).reshape(4, 3)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)

    def expected(r):
        one = jnp.ones(12)
        own = generalized_contrastive(r.reshape(-1), -1e9 * one)
        other = generalized_contrastive(1e9 * one, r.reshape(-1))
        return jnp.sum(own * joint.reshape(-1)) + jnp.sum(other * product.reshape(-1))

    best = np.log(joint / product)
    np.testing.assert_allclose(jax.grad(expected)(best), 0, atol=1e-12)
    assert np.abs(jax.grad(expected)(best + 0.1)).max() > 1e-4


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: time_contrastive(H, W[:, :2], B, U), r"time_contrastive: found features \(7, 3\), head \(4, 2\)"),
        (lambda: time_contrastive(H, W, B[:3], U), r"bias \(3,\)"),
        (lambda: time_contrastive(H[0], W, B, U), r"features \(3,\)"),
        (lambda: time_contrastive(H, W, B, U + 1), "labels from 1 to 4, wanted 0 to 3"),
        (lambda: time_contrastive(H, W, B, U * 1.0), "time_contrastive: found labels of type float64"),
        (lambda: time_contrastive(H, W, B, U[:3]), r"labels of shape \(3,\)"),
        (lambda: label_scores(H, W, B, U[:3]), r"label_scores: found labels of shape \(3,\)"),
        (lambda: label_scores(H + 1e9, W, B, U), "label_scores: found features around an offset"),
        (lambda: generalized_contrastive(B, B[:2]), r"found scores \(4,\) and permuted_scores \(2,\)"),
        (lambda: generalized_contrastive(H, H), r"found scores \(7, 3\)"),
        (lambda: class_gaussian_nll(H, W, W[:3], U), r"means \(4, 3\) and log_scales \(3, 3\)"),
        (lambda: class_gaussian_nll(H, W, W, U[:3]), r"labels of shape \(3,\)"),
        (lambda: half_squared_weights({"a": W * 1j}), "half_squared_weights: found params of type complex128"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
