"""Maximum likelihood under observation noise: its optimum, and what it gains over least squares on pairs."""

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from identax.dgp.lti_discretise import zero_order_hold
from identax.dgp.lti_system import Environments
from identax.lti.kalman import kalman_loglik, kalman_smoother
from identax.lti.kalman_fit import fit_kalman
from identax.lti.realisation import transfer_function

ROTATED = np.array([[0.6, 0.5], [-0.5, 0.4]]), np.array([[1.0, 0.3], [-0.4, 0.8]])


def _trajectories(F, G, means, variances, noise, steps, seed=0):
    rng = np.random.default_rng(seed)
    u = means[:, None] + np.sqrt(variances)[:, None] * rng.standard_normal((len(means), steps, means.shape[1]))
    driven, states = u @ G.T, np.zeros((len(means), steps, len(F)))
    for t in range(steps - 1):
        states[:, t + 1] = states[:, t] @ F.T + driven[:, t]
    return states + np.sqrt(noise) * rng.standard_normal(states.shape), u


def _square(steps, seed=0):
    rng = np.random.default_rng(100 + seed)
    environments = Environments(rng.standard_normal((3, 2)), np.array([[0.1, 0.8], [0.9, 0.2], [0.5, 0.5]]))
    y, _ = _trajectories(*ROTATED, environments.means, environments.variances, 0.09, steps, seed)
    return y, environments


def _total(y, environments, F, G, noise, **start):
    return sum(
        float(
            kalman_loglik(
                y[e], F, G, np.eye(len(F)), control_mean=environments.means[e],
                control_variance=environments.variances[e], observation_covariance=noise,
                **{name: values[e] for name, values in start.items()},
            )
        )
        for e in range(len(y))
    )  # fmt: skip


def _pairs_least_squares(y, variances):
    """F by least squares on non-overlapping pairs, G from the leading component of the residual, noise from the other.

    Of one control: what a user without a model of the noise would do.
    """
    now, after = y[:, 0:-1:2].reshape(-1, 2), y[:, 1::2].reshape(-1, 2)
    F = np.linalg.lstsq(now, after, rcond=None)[0].T
    residual = after - now @ F.T
    values, vectors = np.linalg.eigh(residual.T @ residual / len(residual))
    leading = vectors[:, -1] * np.sign(vectors[0, -1])
    return F, (leading * np.sqrt(values[-1] / variances.mean()))[:, None], values[0] / 2


def _error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, np.array([0.05, 0.3])])
def test_the_optimum_has_the_likelihood_ratio_of_a_maximum(x64, noise):
    y, environments = _square(1000)
    start = (0.8 * ROTATED[0], 1.3 * ROTATED[1], noise)
    fit = fit_kalman(y, environments, start=start)
    assert fit.converged
    assert np.shape(fit.noise_variance) == np.shape(noise)
    assert fit.start_loglik == pytest.approx(_total(y, environments, *start), rel=1e-10)
    assert fit.loglik == pytest.approx(_total(y, environments, fit.F, fit.G, fit.noise_variance), rel=1e-10)
    # twice the gap to the truth is chi-squared with as many degrees of freedom as there are parameters
    gap = 2 * (fit.loglik - _total(y, environments, *ROTATED, 0.09))
    free = 8 + np.size(noise)
    assert 0 < gap < scipy.stats.chi2.ppf(1 - 1e-6, free)
    assert _error(fit.F, ROTATED[0]) < 0.15 and _error(fit.G, ROTATED[1]) < 0.15


@pytest.mark.slow
def test_another_start_reaches_the_same_optimum_and_starting_there_stays(x64):
    y, environments = _square(1000)
    first = fit_kalman(y, environments, start=(0.8 * ROTATED[0], 1.3 * ROTATED[1], 0.2))
    second = fit_kalman(y, environments, start=(0.5 * np.eye(2), ROTATED[1], 1.0))
    assert second.loglik == pytest.approx(first.loglik, abs=1e-3)
    np.testing.assert_allclose(second.F, first.F, atol=1e-4)
    again = fit_kalman(y, environments, start=(first.F, first.G, first.noise_variance))
    assert again.converged and again.loglik == pytest.approx(first.loglik, abs=1e-6)


def test_iterations_are_bounded_and_never_lose_likelihood(x64):
    y, environments = _square(1000)
    fit = fit_kalman(y, environments, start=(-0.5 * np.eye(2), ROTATED[1], 5.0), max_iterations=3)
    assert not fit.converged and fit.iterations <= 3 and fit.loglik >= fit.start_loglik


@pytest.mark.slow
def test_a_stationary_start_is_in_the_law_that_the_system_keeps(x64):
    y, environments = _square(1000)
    F, G = ROTATED
    spreads = [scipy.linalg.solve_discrete_lyapunov(F, G @ np.diag(v) @ G.T) for v in environments.variances]
    means = [np.linalg.solve(np.eye(2) - F, G @ mean) for mean in environments.means]
    wanted = _total(y, environments, F, G, 0.09, initial_mean=means, initial_covariance=spreads)
    fit = fit_kalman(y, environments, start=(F, G, 0.09), initial="stationary", max_iterations=1)
    assert fit.start_loglik == pytest.approx(wanted, rel=1e-9)


def test_the_callers_precision_does_not_matter():
    y, environments = _square(1000)
    y = y.astype(np.float32)
    found = fit_kalman(y, environments, start=(0.8 * ROTATED[0], 1.3 * ROTATED[1], 0.2))
    with jax.enable_x64(True):
        wanted = fit_kalman(y, environments, start=(0.8 * ROTATED[0], 1.3 * ROTATED[1], 0.2))
    np.testing.assert_array_equal(found.F, wanted.F)
    assert found.F.dtype == float


@pytest.mark.slow
@pytest.mark.parametrize("sd", [1e-3, 1e-2])
def test_the_noisy_motor_is_found_where_pairs_are_biased(x64, sd):
    A, B = map(np.asarray, zero_order_hold([[-2.0, 0.02], [-1.0, -10.0]], [[2.0], [0.0]], 0.01))
    circle = np.exp(1j * np.linspace(0.0, np.pi, 50))
    wanted = transfer_function(A, B, np.eye(2), circle)
    rows = []
    for seed in range(3):
        variances = np.abs(np.random.default_rng(seed).standard_normal((3, 1))) / 2
        environments = Environments(np.zeros((3, 1)), variances)
        y, u = _trajectories(A, B, environments.means, variances, sd**2, 5000, seed)
        start = _pairs_least_squares(y, variances)
        fit = fit_kalman(y, environments, start=start)
        assert fit.converged
        assert np.sqrt(fit.noise_variance) == pytest.approx(sd, rel=0.03)  # 6 standard errors of 30,000 numbers
        fitted = (transfer_function(F, G, np.eye(2), circle) for F, G in ((fit.F, fit.G), start[:2]))
        of_system = [_error(response, wanted) for response in fitted]
        residual = (y[:, 1:] - y[:, :-1] @ start[0].T) @ start[1][:, 0]
        controls = [
            kalman_smoother(
                y[e], fit.F, fit.G, np.eye(2), control_mean=environments.means[e], control_variance=variances[e],
                observation_covariance=fit.noise_variance,
            ).controls[:, 0]
            for e in range(3)
        ]  # fmt: skip
        truth = u[:, :-1].ravel()
        correlations = [np.corrcoef(np.ravel(guess), truth)[0, 1] for guess in (controls, residual)]
        rows.append([_error(fit.F, A), _error(start[0], A), *of_system, *correlations])
    dynamics, biased, response, biased_response, smoothed, one_step = np.median(np.array(rows), axis=0)
    assert dynamics < 0.5 * biased, rows
    assert smoothed > one_step, rows
    if sd == 1e-2:  # at less noise the sampling error of the slow pole is most of either error of the response
        assert response < 0.5 * biased_response and smoothed > one_step + 0.05, rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": np.ones((2, 9, 2))}, "wanted .3, T, d_y."),
        ({"observations": np.ones((3, 9, 1))}, "d_y >= 2 controls"),
        ({"observations": np.full((3, 9, 2), np.nan)}, "non-finite"),
        ({"start": (np.eye(2), np.eye(2))}, "2 parts"),
        ({"start": (np.eye(3), np.eye(2), 0.1)}, "start of shapes"),
        ({"start": (np.eye(2), np.eye(2), 0.0)}, "noise variance=0.0, wanted a positive"),
        ({"start": (3e200 * np.eye(2), np.eye(2), 0.1)}, "wanted a finite one"),
        ({"initial": "statoinary"}, "did you mean 'stationary'"),
        ({"max_iterations": 0}, "wanted at least 1"),
        ({"environments": Environments(np.zeros((3, 2)), -np.ones((3, 2)))}, "variances"),
    ],
)
def test_bad_input_is_refused(change, message):
    environments = Environments(np.zeros((3, 2)), np.ones((3, 2)))
    arguments = {"observations": np.ones((3, 9, 2)), "environments": environments, "start": (np.eye(2), np.eye(2), 0.1)}
    with pytest.raises(ValueError, match=message):
        fit_kalman(**{**arguments, **change})
