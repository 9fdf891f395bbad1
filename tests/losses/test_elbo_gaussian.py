"""The ELBO with a Gaussian decoder, constants kept: against probabilistic PCA, whose evidence is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.losses import (
    elbo,
    gaussian_log_likelihood,
    gaussian_prior,
    importance_weighted_bound,
    mle_precision,
    sampled_kl,
    uniform_prior,
)

PRECISION, NUM = 7.0, 5
W = np.array([[1.0, 0.0], [0.0, 2.0], [0.5, 0.0], [0.0, -1.0]])  # orthogonal columns: the exact posterior is diagonal


@pytest.fixture
def model(x64):
    """x, the exact posterior (mean, log variance) of u ~ N(0, I), x = W u + noise, and log p(x)."""
    x = np.random.default_rng(0).normal(size=(NUM, 4))
    inverse = np.eye(2) + PRECISION * W.T @ W
    mean = PRECISION * x @ W @ np.linalg.inv(inverse)
    log_variance = np.broadcast_to(-np.log(np.diag(inverse)), mean.shape)
    evidence = stats.multivariate_normal(np.zeros(4), W @ W.T + np.eye(4) / PRECISION).logpdf(x)
    return x, mean, log_variance, evidence


def _bound(x, mean, log_variance, key, **options):
    u = mean + np.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
    options = {"prior": gaussian_prior(), "precision": PRECISION} | options
    return elbo(x, u @ W.T, u, mean, log_variance, **options)


def test_at_the_exact_posterior_every_draw_gives_the_evidence(model, getkey):
    x, mean, log_variance, evidence = model
    np.testing.assert_allclose(_bound(x, mean, log_variance, getkey()).value, evidence, rtol=1e-10)


@pytest.mark.slow
def test_elsewhere_it_is_below_and_importance_weights_close_the_gap(model, getkey):
    x, mean, log_variance, evidence = model
    keys = jax.random.split(getkey(), 4096)
    found = jax.vmap(lambda key: _bound(x, mean + 0.2, log_variance + 0.5, key))(keys)
    single = found.value.mean(0)
    assert (single < evidence - 0.1).all()
    tight = importance_weighted_bound(found.log_likelihood, found.kl)
    eights = [part.reshape(512, 8, NUM).swapaxes(0, 1).reshape(8, -1) for part in (found.log_likelihood, found.kl)]
    some = importance_weighted_bound(*eights).reshape(512, NUM).mean(0)
    assert (abs(tight - evidence) < 0.05).all() and (some > single + 0.1).all() and (some < evidence - 0.02).all()
    np.testing.assert_allclose(importance_weighted_bound(found.value[:1], 0 * found.kl[:1]), found.value[0], rtol=1e-12)


def test_parts_add_up_and_beta_weighs_one_of_them(model, getkey):
    x, mean, log_variance, _ = model
    key = getkey()
    one, three = (_bound(x, mean, log_variance, key, beta=beta) for beta in (1, 3))
    np.testing.assert_allclose(one.value - three.value, 2 * one.kl, rtol=1e-10)
    np.testing.assert_array_equal(one.log_likelihood, three.log_likelihood)


def test_closed_form_replaces_the_sample(model, getkey):
    x, mean, log_variance, _ = model
    keys = jax.random.split(getkey(), 20_000)
    sampled = jax.vmap(lambda key: _bound(x, mean, log_variance + 0.3, key).kl)(keys)
    closed = _bound(x, mean, log_variance + 0.3, keys[0], kl="analytic").kl
    assert (abs(sampled.mean(0) - closed) < 6 * sampled.std(0) / np.sqrt(len(keys))).all()


def test_likelihood_is_scipys_and_its_best_precision_is_the_mle(x64):
    rng = np.random.default_rng(1)
    x, f = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    expected = stats.norm(f, 1 / np.sqrt(2.5)).logpdf(x).sum(axis=(1, 2))
    np.testing.assert_allclose(gaussian_log_likelihood(x, f, precision=2.5), expected, rtol=1e-12)
    best = mle_precision(x, f)
    slope = jax.grad(lambda p: gaussian_log_likelihood(x, f, precision=p).sum())(best)
    assert abs(slope) < 1e-10 and np.isclose(best, 1 / np.square(x - f).mean())


def test_uniform_prior_is_the_published_formula(x64, getkey):
    """log p(z) - log q(z|x) of z = sigmoid(u), with the 1e-8 of the published logarithm."""
    mean, log_variance = jax.random.normal(getkey(), (2, NUM, 3))
    u = mean + jnp.exp(log_variance / 2) * jax.random.normal(getkey(), mean.shape)
    z = jax.nn.sigmoid(u)
    log_q = stats.norm(mean, np.exp(log_variance / 2)).logpdf(u) + np.log(1 / (z * (1 - z) + 1e-8))
    np.testing.assert_allclose(sampled_kl(u, mean, log_variance, prior=uniform_prior()), log_q.sum(axis=1), atol=1e-5)


def test_collapsed_posterior_of_the_uniform_prior_costs_what_quadrature_says(x64):
    """Best normal against a logistic: variance 3.058, .009512 nats (Reizinger et al. 2022: .0292 for 3 collapsed)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    variance, dims = 3.058, nodes[:, None]
    u = np.sqrt(variance) * dims
    per_node = sampled_kl(u, 0 * dims, 0 * dims + np.log(variance), prior=uniform_prior())
    assert abs(per_node @ weights / weights.sum() - 0.009512) < 2e-6


@pytest.mark.parametrize("precision", [0.0, -1.0, np.nan, np.inf, [1.0, 2.0]])
def test_precision_that_is_none_is_refused(precision):
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="precision"):
        gaussian_log_likelihood(x, x, precision=precision)


def test_shapes_that_do_not_match_are_refused():
    x, u = np.ones((2, 3)), np.ones((2, 1))
    with pytest.raises(ValueError, match="wanted one shape"):
        elbo(x, x[:1], u, u, u, prior=gaussian_prior(), precision=1)
    with pytest.raises(ValueError, match="wanted one shape"):
        elbo(x, x, u[:1], u, u, prior=gaussian_prior(), precision=1)
    with pytest.raises(ValueError, match="wanted as many"):
        elbo(x, x, u[:1], u[:1], u[:1], prior=gaussian_prior(), precision=1)
    with pytest.raises(ValueError, match="closed form"):
        elbo(x, x, u, u, u, prior=uniform_prior(), precision=1, kl="analytic")
