"""The inverse of the Beta law against SciPy, and the copula's marginals and rank correlations against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from identax.dgp import correlated_beta, inverse_beta_cdf

ALPHA, BETA = np.array([7.421, 2.002, 3.908]), np.array([11.364, 5.93, 3.2])


@pytest.mark.slow
def test_the_inverse_is_that_of_scipy(x64):
    p = np.concatenate([np.linspace(0, 1, 11), [1e-12, 1e-6, 1 - 1e-6]])
    for alpha, beta in ((7.421, 11.364), (2, 15), (15, 2), (1, 1), (0.5, 0.5), (0.3, 4), (80, 3)):
        wanted = special.betaincinv(alpha, beta, p)
        np.testing.assert_allclose(inverse_beta_cdf(p, alpha, beta), wanted, atol=1e-10)
    inner = p[(p > 0) & (p < 1)]
    np.testing.assert_allclose(
        special.betainc(3.5, 2.25, np.asarray(inverse_beta_cdf(inner, 3.5, 2.25))), inner, atol=1e-11
    )
    grid = inverse_beta_cdf(0.5, ALPHA[:, None], BETA[None, :])
    np.testing.assert_allclose(grid, stats.beta(ALPHA[:, None], BETA[None, :]).median(), atol=1e-10)


def test_the_inverse_in_float32_and_inside_programs():
    p = jnp.linspace(0, 1, 11)
    wanted = special.betaincinv(ALPHA[:, None], BETA[:, None], np.linspace(0, 1, 11))
    inside = jax.jit(jax.vmap(inverse_beta_cdf, in_axes=(None, 0, 0)))(p, jnp.asarray(ALPHA), jnp.asarray(BETA))
    np.testing.assert_allclose(inside, wanted, atol=2e-5)
    np.testing.assert_allclose(inverse_beta_cdf([0, 1], 2, 3), [0, 1])
    assert inverse_beta_cdf(np.zeros((0, 2)), 2, 3).shape == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.7, [[1, 0.9, 0.0], [0.9, 1, -0.2], [0.0, -0.2, 1]]])
def test_marginals_stay_and_ranks_follow_the_copula(getkey, assert_mean, correlation):
    num = 2000
    u = np.asarray(correlated_beta(getkey(), num, ALPHA, BETA, correlation))
    assert u.shape == (num, 3) and u.min() > 0 and u.max() < 1
    law = stats.beta(ALPHA, BETA)
    assert_mean(u, law.mean())
    assert_mean((u - law.mean()) ** 2, law.var())
    for k in range(3):
        assert stats.kstest(u[:, k], stats.beta(ALPHA[k], BETA[k]).cdf).pvalue > 1e-6
    rho = np.where(np.eye(3), 1, correlation) if np.ndim(correlation) == 0 else np.asarray(correlation)
    wanted = 6 / np.pi * np.arcsin(rho / 2)
    np.testing.assert_allclose(stats.spearmanr(u).statistic, wanted, atol=6 / np.sqrt(num))


@pytest.mark.slow
def test_without_correlation_it_is_independent_and_a_key_is_a_draw(getkey):
    key = getkey()
    first, again = (np.asarray(correlated_beta(key, 1000, ALPHA, BETA, 0.0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(stats.spearmanr(first).statistic - np.eye(3)).max() < 0.2
    inside = jax.jit(lambda key, rho: correlated_beta(key, 1000, ALPHA, BETA, rho))(key, 0.0)
    np.testing.assert_allclose(inside, first, atol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: inverse_beta_cdf(1.5, 2, 2), "p=1.5"),
        (lambda: inverse_beta_cdf([0.1, np.nan], 2, 2), "wanted 0 to 1"),
        (lambda: inverse_beta_cdf(0.5, 0, 2), "alpha=0"),
        (lambda: inverse_beta_cdf(0.5, 2, [1, -1]), "beta down to -1"),
        (lambda: inverse_beta_cdf(0.5j, 2, 2), "p of type complex"),
        (lambda: inverse_beta_cdf([0.5, 0.1], 2, [1, 2, 3]), "wanted ones that broadcast"),
        (lambda: correlated_beta(jax.random.key(0), 5, [2, 2, 2], [2, 2, 2], -0.5), "wanted a positive definite"),
        (lambda: correlated_beta(jax.random.key(0), 5, [2, 2], [2, 2], 1.0), "wanted a positive definite"),
        (lambda: correlated_beta(jax.random.key(0), 5, [2, 2], [2, 2], [[1, 0.5], [0.2, 1]]), "positive definite"),
        (lambda: correlated_beta(jax.random.key(0), 5, [2, 2], [2, 2], np.eye(3)), r"wanted \[2, 2\]"),
        (lambda: correlated_beta(jax.random.key(0), 5, [2, 2], [2, 2, 2], 0.1), r"beta of shape \(3,\)"),
        (lambda: correlated_beta(jax.random.key(0), 0, [2, 2], [2, 2], 0.1), "num=0"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
