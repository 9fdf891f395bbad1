"""Likelihoods, least squares, closed form and maximum likelihood of linear systems, against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.stats

from identax.lti import (
    closed_form_unmixing,
    conditional_loglik,
    decay_limit,
    fit_conditional,
    innovation_regression,
    joint_diagonalise,
    match_rows,
    pair_moments,
    published_loglik,
    wls_of_moments,
    wls_unmixing,
)
from identax.lti.moments import conditional_value, published_value, unequal_moments
from identax.metrics import amari_distance
from identax.numerics import psd_eigh


def _world(seed, d=2, n=4000, zero=False):
    """Pairs [E, n, 2, d] of a stationary-free chain y' = F y + G u, u ~ N(mean_e, var_e), in NumPy."""
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(d, d))
    F *= 0.8 / np.abs(np.linalg.eigvals(F)).max()
    G = rng.normal(size=(d, d))
    variances = np.exp(rng.normal(size=(d + 1, d)))
    means = np.zeros((d + 1, d)) if zero else rng.normal(size=(d + 1, d))
    y0 = rng.normal(size=(d + 1, n, d))
    u = means[:, None] + np.sqrt(variances)[:, None] * rng.normal(size=(d + 1, n, d))
    return np.stack([y0, y0 @ F.T + u @ G.T], axis=2), means, variances, F, G


def _flat(pairs, means, variances):
    E, n = pairs.shape[:2]
    return pairs.reshape(E * n, 2, -1), np.repeat(means, n, axis=0), np.repeat(variances, n, axis=0)


def test_published_loglik_is_the_density_of_the_controls(x64):
    pairs, means, variances, _, _ = _world(0, n=20)
    unmixing = np.random.default_rng(1).normal(size=(2, 4))
    z, mu, var = _flat(pairs, means, variances)
    controls = z.reshape(len(z), 4) @ unmixing.T
    wanted = scipy.stats.norm.logpdf(controls, mu, np.sqrt(var)).sum(axis=1)
    np.testing.assert_allclose(published_loglik(unmixing, z, mu, var), wanted, rtol=1e-12)


def test_conditional_loglik_is_the_density_of_the_next_observation(x64):
    pairs, means, variances, F, G = _world(0, n=20)
    inverse = np.linalg.inv(G)
    z, mu, var = _flat(pairs, means, variances)
    found = conditional_loglik(np.hstack([-inverse @ F, inverse]), z, mu, var)
    wanted = [
        scipy.stats.multivariate_normal.logpdf(pair[1], F @ pair[0] + G @ m, G @ np.diag(v) @ G.T)
        for pair, m, v in zip(z, mu, var, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_values_from_moments_are_means_of_the_log_likelihoods(x64):
    pairs, means, variances, _, _ = _world(2, n=30)
    unmixing = np.random.default_rng(3).normal(size=(2, 4))
    flat = _flat(pairs, means, variances)
    moments = pair_moments(jnp.asarray(pairs))
    np.testing.assert_allclose(
        published_value(unmixing, moments, means, variances), published_loglik(unmixing, *flat).mean(), rtol=1e-12
    )
    np.testing.assert_allclose(
        conditional_value(unmixing, moments, means, variances), conditional_loglik(unmixing, *flat).mean(), rtol=1e-12
    )
    labelled = unequal_moments(jnp.asarray(flat[0]), jnp.repeat(jnp.arange(3), 30), 3)
    np.testing.assert_allclose(labelled.covariance, moments.covariance, rtol=1e-12)


def test_weighted_least_squares_is_the_maximum_of_the_published_objective(x64):
    pairs, means, variances, _, _ = _world(4, n=50)
    z, mu, var = _flat(pairs, means, variances)
    flat = z.reshape(len(z), 4)
    wanted = []
    for i in range(2):
        gram = (flat / var[:, i : i + 1]).T @ flat
        wanted.append(np.linalg.solve(gram, (flat * (mu / var)[:, i : i + 1]).sum(axis=0)))
    found = wls_unmixing(z, mu, var)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    np.testing.assert_allclose(wls_of_moments(pair_moments(jnp.asarray(pairs)), means, variances), wanted, rtol=1e-9)
    slope = jax.grad(lambda w: published_loglik(w, z, mu, var).mean())(found)
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


def test_zero_means_leave_nothing_but_a_decay(x64):
    pairs, _, variances, _, _ = _world(5, n=50, zero=True)
    means = np.zeros_like(variances)
    np.testing.assert_array_equal(wls_unmixing(*_flat(pairs, means, variances)), 0.0)
    moments = pair_moments(jnp.asarray(pairs))
    rows = np.asarray(decay_limit(moments, jnp.asarray(variances)))
    for i in range(2):
        gram = np.einsum("e,epq->pq", 1 / variances[:, i] / 3, np.asarray(moments.second))
        _, vectors = np.linalg.eigh(gram)
        np.testing.assert_allclose(abs(rows[i] @ vectors[:, 0]), 1.0, rtol=1e-10)


def test_psd_eigh_agrees_with_numpy(x64):
    rng = np.random.default_rng(6)
    roots = rng.normal(size=(7, 5, 5)) * np.logspace(0, -4, 5)
    matrices = roots @ roots.swapaxes(1, 2)
    values, vectors = psd_eigh(jnp.asarray(matrices))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrices), rtol=1e-6, atol=1e-14)
    rebuilt = np.einsum("bij,bj,bkj->bik", vectors, values, vectors)
    np.testing.assert_allclose(rebuilt, matrices, atol=1e-12)


def test_innovation_regression_is_least_squares_with_an_intercept_per_environment(x64):
    pairs, *_ = _world(7, n=40)
    found = innovation_regression(pair_moments(jnp.asarray(pairs)))
    past = pairs[:, :, 0].reshape(-1, 2)
    design = np.hstack([past, np.repeat(np.eye(3), 40, axis=0)])
    solution, *_ = np.linalg.lstsq(design, pairs[:, :, 1].reshape(-1, 2), rcond=None)
    np.testing.assert_allclose(found.transition, solution[:2].T, rtol=1e-9)
    np.testing.assert_allclose(found.mean, solution[2:], rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_joint_diagonalisation_agrees_with_generalised_eigenvectors(x64):
    rng = np.random.default_rng(8)
    mixing, variances = rng.normal(size=(3, 3)), np.exp(rng.normal(size=(2, 3)))
    covariances = np.einsum("ij,ej,kj->eik", mixing, variances, mixing)
    rotation = np.asarray(joint_diagonalise(jnp.asarray(covariances), jnp.asarray(variances)))
    for covariance in covariances:
        turned = rotation @ covariance @ rotation.T
        np.testing.assert_allclose(turned - np.diag(np.diag(turned)), 0.0, atol=1e-9)
    _, vectors = scipy.linalg.eigh(covariances[1], covariances[0])
    product = np.abs(rotation @ np.linalg.inv(vectors.T))
    np.testing.assert_allclose((product > 1e-7 * product.max()).sum(axis=1), 1)


def test_joint_diagonalisation_agrees_with_phams(x64):
    """Of exact covariances both find the same rows; of sampled ones both are as near to the truth."""
    pyriemann = pytest.importorskip("pyriemann.utils.ajd")
    rng = np.random.default_rng(11)
    mixing, variances = rng.normal(size=(4, 4)), np.exp(rng.normal(size=(6, 4)))
    exact = np.einsum("ij,ej,kj->eik", mixing, variances, mixing)
    sampled = []
    for row in variances:
        residual = rng.normal(size=(4000, 4)) * np.sqrt(row) @ mixing.T
        sampled.append(residual.T @ residual / 4000)
    errors = {}
    for name, covariances in (("exact", exact), ("sampled", np.array(sampled))):
        ours = np.asarray(joint_diagonalise(jnp.asarray(covariances), jnp.asarray(variances)))
        theirs, _ = pyriemann.ajd_pham(covariances, eps=1e-14, n_iter_max=200)
        errors[name] = [float(amari_distance(rows @ mixing)) for rows in (ours, theirs)]
        if name == "exact":
            assert amari_distance(ours @ np.linalg.inv(theirs)) < 1e-6
    assert max(errors["exact"]) < 1e-6
    assert max(errors["sampled"]) < 0.05 and errors["sampled"][0] < 3 * errors["sampled"][1]


def test_rows_are_matched_by_their_profiles():
    variances = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 1.0, 5.0], [2.0, 7.0, 1.0]])
    order, scale = jnp.asarray([2, 0, 1]), jnp.asarray([0.5, 3.0, 2.0])
    rows, found = match_rows((variances * (scale**2)[None])[:, order], variances)
    np.testing.assert_array_equal(order[rows], [0, 1, 2])
    np.testing.assert_allclose(found, 1 / scale, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [False, True])
def test_both_solvers_find_the_maximum_that_scipy_finds(x64, zero):
    pairs, means, variances, F, G = _world(9, n=4000, zero=zero)
    moments = pair_moments(jnp.asarray(pairs))
    start = closed_form_unmixing(moments, jnp.asarray(means), jnp.asarray(variances))
    rows = fit_conditional(moments, jnp.asarray(means), jnp.asarray(variances), start)
    with_lbfgs = jax.jit(lambda *given: fit_conditional(*given, solver="lbfgs"))
    lbfgs = with_lbfgs(moments, jnp.asarray(means), jnp.asarray(variances), start)
    loss = jax.jit(jax.value_and_grad(lambda w: -conditional_value(w.reshape(2, 4), moments, means, variances)))
    best = scipy.optimize.minimize(
        lambda w: [np.asarray(x, float) for x in loss(w)], np.ravel(start), jac=True, method="BFGS", tol=1e-12
    )
    assert bool(rows.converged) and bool(lbfgs.converged)
    np.testing.assert_allclose([rows.loglik, lbfgs.loglik], -best.fun, atol=1e-9)
    inverse = np.linalg.inv(G)
    truth = np.hstack([-inverse @ F, inverse])
    sign = np.sign((np.asarray(rows.unmixing) * truth).sum(axis=1, keepdims=True)) if zero else 1.0
    np.testing.assert_allclose(sign * np.asarray(rows.unmixing), truth, atol=0.1 * np.abs(truth).max())
    gain = 12_000 * (float(rows.loglik) - float(conditional_value(truth, moments, means, variances)))
    assert 0 < 2 * gain < scipy.stats.chi2.ppf(1 - 1e-9, 8)  # Wilks: half a chi-square with as many df as parameters


def test_shapes_and_values_that_do_not_fit_are_refused():
    pairs = np.zeros((5, 2, 2))
    with pytest.raises(ValueError, match=r"wanted \[N, 2, d_y\]"):
        published_loglik(np.eye(2, 4), np.zeros((5, 4)), np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="wanted positive"):
        published_loglik(np.eye(2, 4), pairs, np.zeros(2), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="d_u < d_y"):
        conditional_loglik(np.eye(1, 4), pairs, np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="non-finite"):
        wls_unmixing(pairs * np.nan, np.zeros(2), np.ones(2))


@pytest.mark.parametrize("loglik", [published_loglik, conditional_loglik])
@pytest.mark.parametrize(
    ("unmixing", "found"),
    [
        (np.ones((2, 4)) * 1j, "found unmixing of type complex128"),
        (np.full((2, 4), np.nan), "found 8 non-finite entries in unmixing"),
        (np.ones(4), r"found unmixing \(4,\)"),
    ],
)
def test_an_unmixing_is_a_real_matrix(loglik, unmixing, found):
    with pytest.raises(ValueError, match=f"{loglik.__name__}: {found}"):
        loglik(unmixing, np.ones((5, 2, 2)), np.zeros(2), np.ones(2))
    whole = np.array([[1, 0, 2, 1], [0, 1, 1, 3]])
    values = [loglik(w, np.ones((5, 2, 2)), np.zeros(2), np.ones(2)) for w in (whole, whole * 1.0, whole.tolist())]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])
