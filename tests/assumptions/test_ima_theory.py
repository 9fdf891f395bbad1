"""The limit of the ELBO and the ELBO of the best encoder: closed forms of linear maps, rates, bounds, collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from identax.assumptions import (
    asymptotic_variance,
    collapse_instability,
    collapse_threshold,
    collapsed_elbo,
    collapsed_posterior,
    elbo_star,
    encoder_elbo,
    gauss_hermite,
    global_c_ima,
    l_ima,
    log_likelihood,
    matched_normals,
)
from identax.jacobians import jacobian
from identax.losses import beta_prior, gaussian_prior, laplace_prior, logistic_prior, uniform_prior
from identax.metrics import c_ima

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 2))
TALL = np.array([[1.0, 0.4], [-0.3, 0.8], [0.5, 0.5]])
GAUSSIAN, UNIFORM = gaussian_prior(), uniform_prior()
PRECISIONS = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6]


def _smooth(t):
    return 0.2 * t + 0.8 * jax.nn.softplus(t)


def linear(z):
    return z @ jnp.asarray(TALL, z.dtype).T


def triangular(z):
    hidden = _smooth(z @ jnp.array([[1.0, 1.8], [0.0, 0.8]], z.dtype) + jnp.array([[0.1, -0.3]], z.dtype))
    return hidden @ jnp.array([[0.9, -2.5], [0.0, 1.1]], z.dtype)


def of_the_class(z):
    c, s = 1.3 * np.cos(0.5), 1.3 * np.sin(0.5)
    return _smooth(z + jnp.array([[0.4, -0.2]], z.dtype)) @ jnp.array([[c, s], [-s, c]], z.dtype)


def moebius(z):
    away = z - 0.5 - jnp.array([[1.1, -0.8]], z.dtype)
    return away / jnp.sum(away**2, axis=1, keepdims=True)


def gaps(function, prior=GAUSSIAN, z=Z, **options):
    """Mean of ELBO* - L_IMA at the precisions; one program."""
    limit = l_ima(function, z, prior)
    return np.array(
        [(elbo_star(function, z, prior=prior, precision=g, **options).value - limit).mean() for g in PRECISIONS]
    )


def test_log_likelihoods_of_linear_maps(x64):
    square = TALL[:2]
    wanted = multivariate_normal(cov=square @ square.T).logpdf(Z @ square.T)
    found = log_likelihood(lambda z: z @ square.T, Z, GAUSSIAN)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    # On the plane of x = W z the density is that of the coordinates in an orthonormal basis of it.
    basis = np.linalg.qr(TALL)[0]
    flat = basis.T @ TALL
    wanted = multivariate_normal(cov=flat @ flat.T).logpdf(Z @ flat.T)
    np.testing.assert_allclose(log_likelihood(linear, Z, GAUSSIAN), wanted, rtol=1e-12)
    np.testing.assert_allclose(wanted - l_ima(linear, Z, GAUSSIAN), c_ima(TALL), rtol=1e-10)
    np.testing.assert_allclose(global_c_ima(linear, Z), c_ima(TALL), rtol=1e-12)


def test_the_contrast_is_what_the_limit_lies_below(x64):
    for function, inside in ((triangular, False), (of_the_class, True)):
        below = log_likelihood(function, Z, GAUSSIAN) - l_ima(function, Z, GAUSSIAN)
        np.testing.assert_allclose(below, c_ima(jacobian(function, jnp.asarray(Z))), atol=1e-14)
        assert (np.max(np.abs(below)) < 1e-14) == inside


def test_moebius_likelihood_is_known(x64):
    """log p = 2 d log r for uniform sources of unit volume, and L_IMA the same."""
    z = RNG.uniform(size=(5, 2))
    r = np.linalg.norm(z - 0.5 - [1.1, -0.8], axis=1)
    for found in (log_likelihood(moebius, z, UNIFORM), l_ima(moebius, z, UNIFORM)):
        np.testing.assert_allclose(found, 4 * np.log(r), rtol=1e-12, atol=1e-14)


def test_asymptotic_variances_of_all_priors(x64):
    z = RNG.uniform(0.1, 0.9, size=(4, 2))
    matrices = np.broadcast_to(TALL, (4, 3, 2))
    square, slope, g = (TALL**2).sum(axis=0), z * (1 - z), 50.0
    known = {
        gaussian_prior(4.0): 1 / (1 / 4 + g * square),
        laplace_prior(): 1 / (g * square),
        UNIFORM: 1 / (2 * slope + g * square * slope**2),
        beta_prior(2.0, 5.0): 1 / (7 * slope + g * square * slope**2),
        logistic_prior(): 1 / (2 / (2 + 2 * np.cosh(z)) + g * square),
    }
    for prior, wanted in known.items():
        found = asymptotic_variance(matrices, z, prior, g)
        np.testing.assert_allclose(found, np.broadcast_to(wanted, (4, 2)), rtol=1e-10, err_msg=prior.name)


@pytest.mark.parametrize("nodes", ["quadrature", "draws"])
def test_probabilistic_pca_is_exact(x64, nodes):
    """Posterior precision M = I + gamma^2 W^T W; the best diagonal one has variances 1 / M_kk and the exact mean."""
    rules = {"quadrature": gauss_hermite(2, 4), "draws": matched_normals(jax.random.key(0), 2, 16)}
    x = Z @ TALL.T
    for g in PRECISIONS:
        found = elbo_star(linear, Z, prior=GAUSSIAN, precision=g, nodes=rules[nodes])
        m = np.eye(2) + g * TALL.T @ TALL
        np.testing.assert_allclose(found.mean, np.linalg.solve(m, g * TALL.T @ x.T).T, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(np.exp(found.log_variance), np.broadcast_to(1 / np.diag(m), (6, 2)), rtol=1e-6)
        marginal = multivariate_normal(cov=TALL @ TALL.T + np.eye(3) / g).logpdf(x)
        divergence = 0.5 * (np.log(np.diag(m)).sum() - np.linalg.slogdet(m)[1])
        np.testing.assert_allclose(found.value, marginal - divergence, rtol=1e-8)
        assert np.max(found.slope) < 1e-5


def test_the_gap_falls_as_one_over_gamma_squared(x64):
    """1e2..1e6 by slopes of the log; 1e-3 at 1e5 is what is wanted, the signs are those of other maps of both kinds."""
    for function in (triangular, of_the_class):
        found = gaps(function, nodes=gauss_hermite(2, 16))
        rates = np.diff(np.log10(np.abs(found[-3:])))
        np.testing.assert_allclose(rates, -1.0, atol=0.02)
        assert abs(found[5]) < 1e-3
        if function is triangular:
            assert found[0] < 0 < found[4]  # rises above its limit and comes back
        else:
            assert (np.diff(found) > 0).all() and (found < 0).all()  # from below
            np.testing.assert_allclose(np.diff(np.log10(-found[2:])), -1.0, atol=0.2)


@pytest.mark.slow
def test_uniform_latents(x64):
    z = np.array([[0.3, 0.8], [0.5, 0.45]])
    found = gaps(moebius, UNIFORM, z, nodes=gauss_hermite(2, 16))
    np.testing.assert_allclose(np.diff(np.log10(-found[-3:])), -1.0, atol=0.05)
    best = elbo_star(moebius, z, prior=UNIFORM, precision=1e6, nodes=gauss_hermite(2, 16))
    wanted = asymptotic_variance(jacobian(moebius, jnp.asarray(z)), z, UNIFORM, 1e6)
    np.testing.assert_allclose(np.exp(best.log_variance), wanted, rtol=1e-3)
    np.testing.assert_allclose(UNIFORM.squash(best.mean), z, atol=1e-4)


def test_below_the_noisy_marginal_and_above_any_other_encoder(x64):
    grid = np.linspace(-9, 9, 721)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    decoded = np.asarray(triangular(jnp.asarray(points)))
    x = triangular(jnp.asarray(Z))
    for g in (1.0, 1e2):
        errors = ((np.asarray(x)[:, None] - decoded[None]) ** 2).sum(axis=-1)
        density = np.exp(-0.5 * g * errors - 0.5 * (points**2).sum(axis=1))
        marginal = np.log(density.sum(axis=1) * 0.025**2 * g / (2 * np.pi) ** 2)
        best = elbo_star(triangular, Z, prior=GAUSSIAN, precision=g, nodes=gauss_hermite(2, 16))
        assert (best.value < marginal).all() and (best.value > marginal - 2).all()
        options = {"prior": GAUSSIAN, "precision": g, "nodes": gauss_hermite(2, 16)}
        again = encoder_elbo(triangular, x, best.mean, best.log_variance, **options)
        np.testing.assert_allclose(again, best.value, rtol=1e-12)
        for shift in (0.05, -0.05):
            assert (encoder_elbo(triangular, x, best.mean + shift, best.log_variance, **options) < best.value).all()
            assert (encoder_elbo(triangular, x, best.mean, best.log_variance + shift, **options) < best.value).all()


def test_draws_agree_with_the_quadrature(x64):
    draws = matched_normals(jax.random.key(1), 2, 256)  # as many as 16^2: one program
    np.testing.assert_allclose(draws.points.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(draws.points.T @ draws.points / 256, np.eye(2), atol=1e-12)
    for g, close in ((1e1, 4e-2), (1e3, 2e-3)):
        found = [
            elbo_star(triangular, Z, prior=GAUSSIAN, precision=g, nodes=n).value for n in (draws, gauss_hermite(2, 16))
        ]
        np.testing.assert_allclose(*found, atol=close)


@pytest.mark.slow
def test_annealing_finds_what_the_asymptotic_start_misses(x64):
    """Three z decode to one x, and only the least likely of them is near the start."""

    def cubic(z):
        return z**3 - 3 * z

    z = np.array([[-1.99], [-1.9], [0.3]])
    options = {"prior": GAUSSIAN, "precision": 10.0}
    alone = elbo_star(cubic, z, **options)
    annealed = elbo_star(cubic, z, annealing=(1e-3, 1e-2, 1e-1), **options)
    assert (annealed.value >= alone.value).all()
    assert annealed.value[0] > alone.value[0] + 0.1


@pytest.mark.slow
def test_in_float32_and_under_transformations():
    z = jnp.asarray(Z, jnp.float32)
    nodes = gauss_hermite(2, 8)
    values = jax.jit(jax.vmap(lambda g: elbo_star(of_the_class, z, prior=GAUSSIAN, precision=g, nodes=nodes).value))
    found = values(jnp.array([1.0, 1e6]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], l_ima(of_the_class, z, GAUSSIAN), atol=2e-3)


@pytest.mark.slow
def test_ten_latents(x64):
    ten = matched_normals(jax.random.key(0), 10, 64)
    deep = elbo_star(lambda z: 2 * z, np.ones((1, 10)), prior=GAUSSIAN, precision=4.0, nodes=ten)
    np.testing.assert_allclose(jnp.exp(deep.log_variance), 1 / 17, rtol=1e-3)


@pytest.mark.slow
def test_collapsed_posteriors(x64):
    """.009512 nats and 3.058 per logistic latent; Laplace: sigma^2 = pi/2 and log 2 + 1/2 - log pi."""
    found = collapsed_posterior(UNIFORM, 3)
    np.testing.assert_allclose(found.kl, 0.009512, atol=5e-7)
    np.testing.assert_allclose(np.exp(found.log_variance), 3.058, atol=1e-3)
    found = collapsed_posterior(laplace_prior(2.0), 1)
    np.testing.assert_allclose(found.kl, np.log(2 / np.pi) + 0.5, rtol=1e-10)
    np.testing.assert_allclose(np.exp(found.log_variance), 2 * np.pi, rtol=1e-6)
    found = collapsed_posterior(gaussian_prior(jnp.array([4.0, 0.1]), 1.0), 2)
    np.testing.assert_allclose(found.kl, 0.0, atol=1e-13)
    np.testing.assert_allclose(np.exp(found.log_variance), [4.0, 0.1], rtol=1e-6)
    assert 0 < float(collapsed_posterior(beta_prior(7.4, 11.3), 1).kl[0]) < 0.0095


def test_collapsed_elbo_of_the_published_moebius_data(x64):
    """tr cov = .00767 at the published mixing: -.630 at 1e1 and -3.739 at 1e2, as its collapsed runs had."""
    x = RNG.normal(size=(50, 3))
    x = 7 + (x - x.mean(axis=0)) * np.sqrt(0.00767 / x.var(axis=0).sum())
    for precision, wanted in ((1e1, 0.630), (1e2, 3.739)):
        np.testing.assert_allclose(collapsed_elbo(x, prior=UNIFORM, precision=precision, dim=3), wanted, atol=1e-3)
    assert collapse_instability(np.ones((4, 3))) == np.inf
    np.testing.assert_allclose(collapse_instability(x), 1 / np.linalg.eigvalsh(np.cov(x.T, ddof=0))[-1], rtol=1e-10)


@pytest.mark.slow
def test_threshold_of_a_scaled_identity(x64):
    """With t = (gamma w)^2 the true decoder wins where t^2 / (1 + t) > log(1 + t): from t = 1.5335."""
    z = RNG.normal(size=(40, 2))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T, ddof=0))).T
    found = collapse_threshold(_tenth, z, prior=GAUSSIAN, nodes=gauss_hermite(2, 2))
    t = found / 100
    np.testing.assert_allclose(t**2 / (1 + t), np.log1p(t), rtol=1e-2)
    assert t > 1.4
    np.testing.assert_allclose(collapse_instability(_tenth(z)), 100, rtol=1e-8)
    assert np.isnan(collapse_threshold(jnp.zeros_like, z, prior=GAUSSIAN))  # constant: nothing to overtake


def _tenth(z):
    return 0.1 * z


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: l_ima(linear, Z[0], GAUSSIAN), r"l_ima: found z of shape \(2,\), wanted \[N, d\]"),
        (lambda: l_ima(linear, [[0.5, 1.0]], UNIFORM), "l_ima: found 1 entries of z outside the support"),
        (lambda: log_likelihood(lambda z: z[:, :1], Z, GAUSSIAN), r"found jacobian of shape \(6, 1, 2\), 1 observed"),
        (lambda: asymptotic_variance(TALL, Z, GAUSSIAN, 1.0), r"asymptotic_variance: found jacobian \(3, 2\)"),
        (lambda: asymptotic_variance(TALL[None], Z[:1], GAUSSIAN, 0.0), "asymptotic_variance: found precision=0.0"),
        (lambda: elbo_star(linear, Z, prior=GAUSSIAN, precision=-1.0), "elbo_star: found precision=-1.0"),
        (lambda: elbo_star(linear, Z, prior=GAUSSIAN, precision=1.0, num_steps=0), "found num_steps=0"),
        (lambda: elbo_star(linear, Z, prior=GAUSSIAN, precision=1.0, annealing=(0.0,)), "found annealing down to 0"),
        (lambda: elbo_star(linear, Z, prior=GAUSSIAN, precision=1.0, nodes=gauss_hermite(1)), "elbo_star: found nodes"),
        (lambda: elbo_star(lambda z: z, np.ones((1, 4)), prior=GAUSSIAN, precision=1.0), "found 4 latents without"),
        (lambda: encoder_elbo(linear, Z, Z, Z[:1], prior=GAUSSIAN, precision=1.0), r"encoder_elbo: found x \(6, 2\)"),
        (lambda: encoder_elbo(linear, Z, Z, Z, prior=GAUSSIAN, precision=1.0), r"decodes to \(6, 3\), wanted"),
        (
            lambda: encoder_elbo(linear, Z[:, :1], Z, Z, prior=GAUSSIAN, precision=1.0),
            r"found x \(6, 1\) and a function",
        ),
        (
            lambda: encoder_elbo(linear, Z, Z, Z, prior="gaussian", precision=1.0),
            "encoder_elbo: found prior='gaussian'",
        ),
        (lambda: l_ima(linear, Z, "gaussian"), "l_ima: found prior='gaussian', wanted a `Prior`"),
        (lambda: l_ima(linear, 1.7e9 + np.arange(4.0).reshape(2, 2), GAUSSIAN), "l_ima: found z around an offset"),
        (lambda: elbo_star(lambda z: z.sum(), Z, prior=GAUSSIAN, precision=1.0), r"elbo_star: found function\(z\)"),
        (lambda: collapsed_posterior("uniform", 2), "collapsed_posterior: found prior='uniform'"),
        (lambda: collapse_instability([[1.0], [np.nan]]), "collapse_instability: found 1 non-finite"),
        (lambda: gauss_hermite(5), r"found 24\^5 nodes"),
        (lambda: matched_normals(jax.random.key(0), 2, 5), "matched_normals: found num=5, wanted an even number"),
        (lambda: matched_normals(jax.random.key(0), 2, 2), "found num=2, wanted at least 4"),
        (lambda: collapsed_posterior(GAUSSIAN, 0), "found dim=0"),
        (lambda: collapsed_elbo(np.ones(3), prior=GAUSSIAN, precision=1.0, dim=1), r"found x of shape \(3,\)"),
        (lambda: collapse_instability(np.ones((0, 3))), "collapse_instability: found x of shape"),
        (lambda: collapse_threshold(linear, Z, prior=GAUSSIAN, digits=0), "found digits=0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
