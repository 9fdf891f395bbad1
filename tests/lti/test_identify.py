"""`identify_lti`: the system comes back, what is open is said, what does not fit is refused."""

import jax
import numpy as np
import pytest

from identax.lti import fit_conditional, fit_from_starts, identify_lti, random_starts
from identax.lti.moments import unequal_moments


def _observed(seed=0, n=3000, d=2, num_controls=2, variances=None, zero=False, noise=0.0):
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(d, d))
    F *= 0.8 / np.abs(np.linalg.eigvals(F)).max()
    G = rng.normal(size=(d, num_controls))
    if variances is None:
        variances = np.exp(1.5 * rng.normal(size=(3, num_controls)))
    means = np.zeros_like(variances) if zero else rng.normal(size=variances.shape)
    blocks = []
    for mean, variance in zip(means, variances, strict=True):
        y = np.zeros((n, d))
        for t in range(n - 1):
            y[t + 1] = F @ y[t] + G @ (mean + np.sqrt(variance) * rng.normal(size=num_controls))
        blocks.append(y)
    y = np.concatenate(blocks) + noise * rng.normal(size=(n * len(variances), d))
    return y, np.repeat(np.arange(len(variances)), n), variances, means, F, G


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [pytest.param("conditional", 0.05, marks=pytest.mark.slow), ("closed_form", 0.1), ("instrumental", 0.2)],
)
@pytest.mark.parametrize("stride", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_system_comes_back(method, tolerance, stride):
    y, labels, variances, means, F, G = _observed()
    found = identify_lti(y, labels, variances, means, method=method, stride=stride)
    np.testing.assert_allclose(found.system.A, F, atol=tolerance)
    np.testing.assert_allclose(found.system.B, G, atol=tolerance)
    np.testing.assert_allclose(found.markov_parameters(3)[2], F @ F @ G, atol=3 * tolerance)
    assert found.controls(y[:10]).shape == (9, 2)


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_the_errors():
    scores = []
    for seed in range(6):
        y, labels, variances, means, F, G = _observed(seed, n=600)
        found = identify_lti(y, labels, variances, means)
        for name, truth in (("A", F), ("B", G)):
            scores.append((getattr(found.system, name) - truth) / found.standard_errors[name])
    assert 0.6 < np.std(scores) < 1.4  # 48 numbers, correlated within a system


@pytest.mark.slow
def test_fewer_controls_than_observations():
    y, labels, variances, means, F, G = _observed(num_controls=1)
    found = identify_lti(y, labels, variances, means)
    np.testing.assert_allclose(found.system.B, G, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(found.system.A, F, atol=0.1)
    assert found.unmixing.shape == (1, 4)


@pytest.mark.slow
def test_noise_is_noticed_and_the_kalman_method_finds_it():
    y, labels, variances, means, F, _ = _observed(noise=1.0, n=1500)
    with pytest.warns(UserWarning, match="correlated in time"):
        biased = identify_lti(y, labels, variances, means)
    found = identify_lti(y, labels, variances, means, method="kalman")
    assert np.linalg.norm(found.system.A - F) < 0.5 * np.linalg.norm(biased.system.A - F)
    assert found.noise_variance == pytest.approx(1.0, rel=0.15)


def test_proportional_variances_are_said_to_leave_a_rotation():
    variances = np.array([[1.0, 2.0], [3.0, 6.0], [2.0, 4.0]])
    y, labels, *_ = _observed(variances=variances, zero=True)
    with pytest.warns(UserWarning, match="stay mixed by an unknown rotation"):
        found = identify_lti(y, labels, variances)
    assert not found.premises.separates


@pytest.mark.slow
def test_one_environment_is_not_enough():
    y, labels, variances, _means, _, _ = _observed(variances=np.array([[1.0, 2.0]]))
    with pytest.warns(UserWarning, match="rotation"):
        identify_lti(y, labels, variances, method="closed_form")


def test_the_published_objective_does_not_find_the_system():
    y, labels, variances, means, _F, G = _observed()
    with pytest.warns(UserWarning, match="leaves out the Jacobian"):
        found = identify_lti(y, labels, variances, means, method="published")
    assert np.linalg.norm(found.system.B - G) > 0.2 * np.linalg.norm(G)


@pytest.mark.slow
def test_the_best_of_several_starts_is_taken():
    y, labels, variances, means, *_ = _observed(seed=7, n=600)  # where some random starts end at a local maximum
    plain = identify_lti(y, labels, variances, means)
    found = identify_lti(y, labels, variances, means, restarts=8)
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-8)
    np.testing.assert_allclose(found.system.B, plain.system.B, atol=1e-4)
    assert 1 / 9 < found.diagnostics["starts at the best"] < 1
    with jax.enable_x64(True):
        within = np.diff(labels) == 0
        z = np.concatenate([y[:-1], y[1:]], axis=1)[within].reshape(-1, 2, 2)
        moments = unequal_moments(z, labels[:-1][within], 3)
        starts = random_starts(jax.random.key(0), moments, 2, 8)
        best, values = fit_from_starts(moments, means, variances, starts)
        worst = int(np.argmin(values))
        alone = float(fit_conditional(moments, means, variances, starts[worst]).loglik)
        of_worst, of_best = float(values[worst]), float(best.loglik)
    assert alone == pytest.approx(of_worst, abs=1e-9) and alone < plain.loglik - 0.1
    assert of_best == pytest.approx(plain.loglik, abs=1e-8)
    np.testing.assert_allclose(best.unmixing, plain.unmixing, atol=1e-3)


def test_bad_input_is_refused():
    y, labels, variances, means, _, _ = _observed(n=50)
    with pytest.raises(ValueError, match=r"wanted \[N, d_y\] and \[N\]"):
        identify_lti(y, labels[:-1], variances, means)
    with pytest.raises(ValueError, match=r"wanted 0\.\.1"):
        identify_lti(y, labels, variances[:2], means[:2])
    with pytest.raises(ValueError, match="wanted positive"):
        identify_lti(y, labels, -variances, means)
    with pytest.raises(ValueError, match="non-finite"):
        identify_lti(np.where(y == y[7], np.nan, y), labels, variances, means)
    with pytest.raises(ValueError, match="wanted at least 5"):
        identify_lti(y[:102], labels[:102], variances, means)
    with pytest.raises(ValueError, match="d_u <= d_y"):
        identify_lti(y[:, :1], labels, variances, means)
    with pytest.raises(ValueError, match="method"):
        identify_lti(y, labels, variances, means, method="magic")
    with pytest.raises(ValueError, match="found restarts=2 with method='closed_form'"):
        identify_lti(y, labels, variances, means, method="closed_form", restarts=2)
    with pytest.raises(ValueError, match="found restarts=-1"):
        identify_lti(y, labels, variances, means, restarts=-1)
    with pytest.raises(ValueError, match="integers"):
        identify_lti(y, labels.astype(float), variances, means)
