"""Priors against SciPy's densities, and where they would be -inf if they were taken of z."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax import losses
from identax.losses import analytic_kl, beta_prior, gaussian_prior, laplace_prior, learned_beta_prior, uniform_prior

PRIORS = {
    "gaussian": (gaussian_prior(0.3, 0.7), stats.norm(0.7, np.sqrt(0.3))),
    "laplace": (laplace_prior(1.7), stats.laplace(0, 1.7)),
    "uniform": (uniform_prior(), stats.uniform()),
    "logistic": (losses.logistic_prior(), stats.logistic()),
    "beta": (beta_prior(2.5, 0.6), stats.beta(2.5, 0.6)),
    "learned beta": (learned_beta_prior(jnp.array([[-1.5], [0.25]])), stats.beta(3.5, 2.25)),
}
each_prior = pytest.mark.parametrize("name", PRIORS)


@each_prior
def test_density_of_z_is_scipys(x64, name):
    prior, law = PRIORS[name]
    u = np.array([[-3.0], [-0.4], [0.2], [1.9]])
    z = prior.squash(jnp.array(u))
    np.testing.assert_allclose(prior.unsquash(z), u, rtol=1e-12)
    # 1e-7: the learned one's parameters are float32 as given
    np.testing.assert_allclose(
        prior.log_prob(jnp.array(u)) - prior.log_slope(jnp.array(u)), law.logpdf(z), rtol=1e-7, atol=1e-9
    )


@each_prior
def test_density_of_u_integrates_to_one(x64, name):
    u = np.linspace(-60, 60, 240_001)  # 0, where the Laplace density has its kink, is a node
    total = np.trapezoid(np.exp(PRIORS[name][0].log_prob(jnp.array(u[:, None]))[:, 0]), u)
    assert abs(total - 1) < 1e-7


@each_prior
def test_slopes_are_derivatives(x64, name):
    prior = PRIORS[name][0]
    u = jnp.array([-2.0, -0.3, 0.4, 5.0])
    second = jax.vmap(jax.grad(jax.grad(lambda t: prior.log_prob(t[None])[0])))(u)
    np.testing.assert_allclose(prior.curvature(u), -second, atol=1e-12)
    np.testing.assert_allclose(prior.log_slope(u), jnp.log(jax.vmap(jax.grad(prior.squash))(u)), atol=1e-12)


@each_prior
def test_saturated_latents_keep_finite_densities_and_gradients(name):
    prior = PRIORS[name][0]
    u = jnp.array([-1e4, -200.0, -20.0, 0.0, 20.0, 200.0, 1e4])
    slopes = jax.vmap(jax.grad(lambda t: prior.log_prob(t[None])[0]))(u)
    assert np.isfinite(prior.log_prob(u)).all() and np.isfinite(slopes).all()


@pytest.mark.parametrize("prior", [gaussian_prior(0.3, 0.7), laplace_prior(1.7)], ids=["gaussian", "laplace"])
@pytest.mark.parametrize("mean, log_variance", [(0.0, 0.0), (1.3, -4.0), (-2.0, 1.0)])
def test_closed_form_of_the_divergence_is_its_integral(x64, prior, mean, log_variance):
    q = stats.norm(mean, np.exp(log_variance / 2))

    u = np.linspace(-30, 30, 600_001)
    ratio = q.logpdf(u) - prior.log_prob(jnp.array(u[:, None]))[:, 0]
    expected = np.trapezoid(q.pdf(u) * np.asarray(ratio), u)
    got = analytic_kl(jnp.array([[mean]]), jnp.array([[log_variance]]), prior=prior)
    np.testing.assert_allclose(got, [expected], atol=1e-8)


@pytest.mark.slow
def test_parameters_may_differ_between_dims_and_be_traced(x64):
    alpha, beta, u = jnp.array([2.0, 3.0]), jnp.array([1.5, 7.0]), jnp.array([[0.3, -1.0], [2.0, 0.0]])
    got = jax.jit(lambda a, b: beta_prior(a, b).log_prob(u))(alpha, beta)
    for j in range(2):
        np.testing.assert_allclose(got[:, j], beta_prior(alpha[j], beta[j]).log_prob(u[:, j]), rtol=1e-12)
    slope = jax.grad(lambda raw: learned_beta_prior(raw).log_prob(u).sum())(jnp.array([[0.5, 1.0], [-2.0, 1.0]]))
    assert np.isfinite(slope).all() and (slope != 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: gaussian_prior(0.0),
        lambda: gaussian_prior(1.0, np.inf),
        lambda: laplace_prior(-1),
        lambda: beta_prior(0.0, 1.0),
        lambda: beta_prior(1.0, [2.0, -1.0]),
        lambda: beta_prior(1j, 1.0),
        lambda: learned_beta_prior(jnp.zeros(3)),
        lambda: gaussian_prior(np.ones((1, 2))),
        lambda: gaussian_prior(1.0, np.zeros((1, 2))),
        lambda: gaussian_prior(np.ones(3)).log_prob(jnp.ones((4, 2))),
        lambda: beta_prior(np.ones(3), 1.0).curvature(jnp.ones((4, 2))),
        lambda: losses.sampled_kl(*np.ones((3, 1, 1)), prior="gaussian"),
        lambda: analytic_kl(np.ones((1, 1)), np.ones((1, 1)), prior=gaussian_prior),
        lambda: analytic_kl(np.ones((1, 1)), np.ones((1, 1)), prior=uniform_prior()),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(ValueError, match=r"found .* wanted"):
        make()
