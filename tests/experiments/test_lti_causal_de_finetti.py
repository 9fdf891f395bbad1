"""Causal de Finetti in linear systems: every statement holds at its level, and its control fails."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments import registry
from experiments.lti import causal_de_finetti_claims as claims
from experiments.lti import causal_de_finetti_worlds as worlds
from identax.conduct import Options, run_experiment

NAME = "lti/causal_de_finetti"
experiment = registry.load(NAME)
SEEDS, DATA_SETS = 8, 50
HPARAMS = {"spectral_radius": 0.9, "mean_sd": 1.0, "mechanism_sd": 0.3}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """A small run in which the controls' means vary over environments (sd 1), or are all zero."""
    config = dataclasses.replace(
        experiment.PRESETS["smoke"], num_samples=200, num_replications=DATA_SETS, chunk=25, num_seeds=SEEDS
    )
    options = Options(workdir=tmp_path_factory.mktemp("causal_de_finetti") / "run", progress=False)
    return run_experiment(experiment, NAME, "smoke", config=config, sweep={"mean_sd": [1.0, 0.0]}, options=options)


def _rates(outcome, arm, name, mean_sd=1.0):
    result = outcome.results[arm]
    return result.final(name)[result.where(mean_sd=mean_sd)]


@pytest.mark.slow
def test_the_run_is_finite_judged_by_name_and_drawn(outcome):
    assert set(outcome.measured) == {reference.quantity for reference in experiment.REFERENCES}
    for name, values in outcome.measured.items():
        assert values.shape == (2 * SEEDS,) and values.dtype == np.float64 and np.isfinite(values).all(), name
    assert outcome.report.exists() and len(list((outcome.report.parent / "figures").iterdir())) == 1


@pytest.mark.slow
def test_densities_agree_and_controls_do_not(outcome):
    final = outcome.results["one environment"].final
    assert final("joint density, trajectories permuted").max() <= 1e-9
    assert final("joint density, times permuted").min() > 0.1
    assert final("Kalman against dense density").max() <= 1e-9
    assert final("Kalman against dense density, A 10 % off").min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["one environment", "pooled"])
def test_statements_hold_and_controls_fail(arm, outcome):
    width = claims.half_width(0.05, SEEDS * DATA_SETS)
    for name in claims.INDEPENDENT[arm]:
        assert abs(_rates(outcome, arm, name).mean() - 0.05) <= width, name
    for name in claims.DEPENDENT[arm]:
        # at 200 rows; some single systems are close to independent in the first component
        assert _rates(outcome, arm, name).mean() > 0.05 + 4 * width, name


@pytest.mark.slow
def test_without_means_theta_does_not_show_in_means(outcome):
    with_means, without = (_rates(outcome, "pooled", "y_t and the other's y_t", sd).mean() for sd in (1.0, 0.0))
    assert with_means > 0.95 and without < 0.4


def test_bands_are_four_standard_errors():
    assert claims.half_width(0.05, 2000) == pytest.approx(4 * math.sqrt(0.05 * 0.95 / 2000))
    for reference in experiment.REFERENCES:
        assert set(reference.bands) == {"quick", "medium", "paper"}
    quick = next(one for one in experiment.REFERENCES if one.quantity == "pooled: y_t and the other's x_t given x_t")
    assert quick.bands["quick"] == pytest.approx((0.05 - 0.019494, 0.05 + 0.019494), abs=1e-6)


def test_premises_say_what_is_predicted():
    reports = experiment.premises(experiment.PRESETS["quick"])
    assert list(reports) == [arm.name for arm in experiment.arms(experiment.PRESETS["quick"])]
    for arm, report in reports.items():
        assert report.covered and len(report.predictions) == len(claims.statements(arm))
    assert not experiment.premises(experiment.Config(mean_sd=0.0))["pooled"].covered


def test_short_trajectories_are_refused():
    with pytest.raises(ValueError, match="found length=2, wanted at least 3"):
        experiment.build(experiment.Config(length=2))


def _law(theta, psi, length):
    """Mean and covariance of (y_0, .., y_{T-1}) of environment 0 by running unit inputs through the recursion."""
    A, B, C = np.asarray(theta.A[0]), np.asarray(theta.B[0]), np.asarray(psi.C[0])
    dim = len(A)

    def outputs(x, controls):
        seen = []
        for u in controls:
            seen.append(C @ x)
            x = A @ x + B @ u
        return np.concatenate(seen)

    none, columns = np.zeros((length, dim)), []
    for i, unit in enumerate(np.eye(dim)):
        columns.append(outputs(unit, none))
        for s in range(length - 1):
            pushed = none.copy()
            pushed[s] = np.sqrt(theta.variances[0, i]) * unit
            columns.append(outputs(np.zeros(dim), pushed))
    spread = np.stack(columns, axis=1)
    mean = outputs(np.zeros(dim), np.tile(np.asarray(theta.means[0]), (length, 1)))
    return mean, spread @ spread.T + float(psi.noise[0]) * np.eye(length * dim)


@pytest.mark.slow
def test_laws_of_outputs(x64, getkey):
    length, t = 4, 2
    theta, psi = worlds.draw(getkey(), 3, 2, 2.0, HPARAMS)
    mean, covariance = _law(theta, psi, length)
    found_mean, found_sd = worlds.output_law(theta, psi, t)
    np.testing.assert_allclose(found_mean[0], mean[2 * t], rtol=1e-12)
    np.testing.assert_allclose(found_sd[0] ** 2, covariance[2 * t, 2 * t], rtol=1e-12)
    first = jax.tree.map(lambda leaf: leaf[0], (theta, psi))
    y = np.random.default_rng(0).normal(size=(5, length, 2)) * 3
    wanted = scipy.stats.multivariate_normal.logpdf(y.reshape(5, -1), mean, covariance)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(worlds.dense_loglik(jnp.asarray(y), *first), wanted, rtol=1e-11)


def test_sampler_has_these_laws(x64, getkey):
    num, length = 20_000, 4
    theta, psi = worlds.draw(getkey(), 1, 2, 2.0, HPARAMS)
    mean, covariance = _law(theta, psi, length)
    thetas, psis = jax.tree.map(lambda leaf: jnp.repeat(leaf, num, axis=0), (theta, psi))
    states, observations = worlds.sample(getkey(), thetas, psis, length)
    assert states.shape == observations.shape == (2, num, length, 2)
    rows = np.asarray(observations).reshape(2, num, -1)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (rows - mean).reshape(-1, 2 * length).T)
    assert np.abs(whitened.mean(axis=1)).max() < 6 / math.sqrt(2 * num)
    # the two trajectories of an environment are independent given it
    both = np.cov(np.concatenate([whitened[:, :num], whitened[:, num:]]))
    assert np.abs(both - np.eye(4 * length)).max() < 6 * math.sqrt(2 / num)


def test_priors(x64, getkey):
    num = 20_000
    theta, psi = worlds.draw(getkey(), num, 2, 2.0, HPARAMS)
    radii = np.abs(np.linalg.eigvals(np.asarray(theta.A[:50]))).max(axis=1)
    np.testing.assert_allclose(radii, 0.9, rtol=1e-9)
    np.testing.assert_allclose(psi.C, np.eye(2) + 0.3 * np.asarray(psi.scores), rtol=1e-12)
    assert 1 <= psi.noise.min() and psi.noise.max() <= 3
    assert abs(psi.noise.mean() - 2) < 6 * (1 / math.sqrt(3)) / math.sqrt(num)
    # A has heavy tails: its entries are squashed
    moves = np.concatenate(
        [np.tanh(theta.A).reshape(num, -1), theta.means, theta.variances, theta.B.reshape(num, -1)], 1
    )
    reads = np.concatenate([psi.scores.reshape(num, -1), psi.noise[:, None]], axis=1)
    across = np.corrcoef(moves, reads, rowvar=False)[: moves.shape[1], moves.shape[1] :]
    assert np.abs(across).max() < 6 / math.sqrt(num)
    own = np.corrcoef(np.concatenate([moves[:, 4:], reads], axis=1), rowvar=False)
    assert np.abs(own - np.eye(len(own))).max() < 6 / math.sqrt(num)


def test_normal_scores_keep_ranks(x64):
    values = jnp.array([3.0, -1e9, 0.5, 7.0])
    wanted = scipy.stats.norm.ppf(np.array([2.5, 0.5, 1.5, 3.5]) / 4)
    np.testing.assert_allclose(experiment._scores(values), wanted, rtol=1e-9)


def test_an_undefined_test_is_not_a_pass(x64):
    assert jnp.isnan(experiment._rejected(jnp.ones(20), jnp.arange(20.0), 0.05))
