"""The evidence lower bound against closed forms, quadrature and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from identax.losses import bernoulli_nll, gaussian_kl, negative_elbo
from identax.losses.elbo import sample_gaussian


def test_kl_is_the_integral_of_the_log_ratio(x64):
    def by_quadrature(mean, log_variance):
        q = stats.norm(mean, np.exp(log_variance / 2))
        return integrate.quad(lambda t: q.pdf(t) * (q.logpdf(t) - stats.norm.logpdf(t)), *q.interval(1 - 1e-13))[0]

    mean, log_variance = np.array([[0.0, 1.3, -2.0], [0.4, 0.0, 3.0]]), np.array([[0.0, -3.0, 1.0], [0.5, 2.0, -0.2]])
    expected = np.vectorize(by_quadrature)(mean, log_variance)
    np.testing.assert_allclose(gaussian_kl(jnp.array(mean), jnp.array(log_variance), per_dim=True), expected, atol=1e-8)
    np.testing.assert_allclose(gaussian_kl(jnp.array(mean), jnp.array(log_variance)), expected.sum(axis=1), atol=1e-8)


def test_kl_keeps_its_digits_near_the_prior():
    log_variance = jnp.array([[1e-4]])  # KL = v^2/4 + v^3/12 + ...; exp(v) - 1 - v in float32 would be rounding
    np.testing.assert_allclose(gaussian_kl(jnp.zeros((1, 1)), log_variance), [2.5e-9], rtol=0.02)


def test_bernoulli_term_is_the_naive_formula(x64, getkey):
    logits = 3 * jax.random.normal(getkey(), (5, 4, 3))
    targets = jax.random.uniform(getkey(), (5, 4, 3))
    p = 1 / (1 + np.exp(-np.asarray(logits)))
    naive = -(np.asarray(targets) * np.log(p) + (1 - np.asarray(targets)) * np.log(1 - p)).sum(axis=(1, 2))
    np.testing.assert_allclose(bernoulli_nll(logits, targets), naive, rtol=1e-12)


def test_bernoulli_term_and_its_gradient_stay_finite_for_confident_logits():
    logits, targets = jnp.array([[300.0, -300.0, 300.0]]), jnp.array([[1.0, 0.0, 0.0]])
    value, slope = jax.value_and_grad(lambda logits: bernoulli_nll(logits, targets)[0])(logits)
    assert value == 300.0
    np.testing.assert_allclose(slope, [[0.0, 0.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize("mean", [0.413, -1.0])
def test_elbo_bounds_the_evidence(getkey, mean):
    """One pixel with logit z ~ N(0, 1), so p(x=1) = 1/2; the first posterior is nearly the exact one."""
    num, variance = 40_000, 0.83
    q = stats.norm(mean, np.sqrt(variance))
    expected = integrate.quad(lambda t: q.pdf(t) * (np.log1p(np.exp(-t)) + q.logpdf(t) - stats.norm.logpdf(t)), -9, 9)[
        0
    ]
    assert np.log(2) < expected and (mean == -1.0) == (expected > np.log(2) + 0.1)
    means, log_variances = jnp.full((num, 1), mean), jnp.full((num, 1), np.log(variance))
    z = sample_gaussian(getkey(), means, log_variances)
    values = np.asarray(negative_elbo(z, jnp.ones((num, 1)), means, log_variances))
    assert abs(values.mean() - expected) < 6 * values.std() / np.sqrt(num)


def test_sampler_has_the_moments_it_says(getkey):
    num = 40_000
    mean, log_variance = jnp.full((num, 1), -1.5), jnp.full((num, 1), np.log(0.25))
    z = np.asarray(sample_gaussian(getkey(), mean, log_variance))
    assert abs(z.mean() + 1.5) < 6 * 0.5 / np.sqrt(num)
    assert abs(z.var() - 0.25) < 6 * 0.25 * np.sqrt(2 / num)


def test_beta_weighs_the_kl_term_and_may_be_traced(x64, getkey):
    logits, mean, log_variance = (jax.random.normal(getkey(), shape) for shape in ((4, 6), (4, 2), (4, 2)))
    targets = jax.random.uniform(getkey(), (4, 6))
    by_beta = jax.jit(lambda beta: negative_elbo(logits, targets, mean, log_variance, beta=beta))
    np.testing.assert_allclose(by_beta(3.0) - by_beta(1.0), 2 * gaussian_kl(mean, log_variance), rtol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "beta", "message"),
    [
        (((4, 6), (4, 5), (4, 2), (4, 2)), 1.0, r"logits of shape \(4, 6\) and targets of shape \(4, 5\)"),
        (((4, 6), (4, 6), (4, 2), (4, 3)), 1.0, r"mean \(4, 2\), log_variance \(4, 3\)"),
        (((4, 6), (4, 6), (3, 2), (3, 2)), 1.0, r"wanted \[N, n\]"),
        (((4, 6), (4, 6), (4, 2), (4, 2)), 0.0, "found beta=0.0, wanted a positive"),
    ],
)
def test_bad_input_is_refused(shapes, beta, message):
    with pytest.raises(ValueError, match=message):
        negative_elbo(*(jnp.zeros(shape) for shape in shapes), beta=beta)
