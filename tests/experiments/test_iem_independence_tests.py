"""Worlds of known dependence, powers that theory gives against counted ones, and rows that a run has."""

import jax
import numpy as np
import pytest
from scipy import stats

from experiments.iem import independence_tests, independence_tests_claims
from identax.conduct import Options, run_experiment
from identax.run import make_mesh

NUM = 20_000


def _drawn(world, strength, given):
    x, y, z = independence_tests.draw(world, jax.random.key(0), NUM, strength, given)
    assert (z is None) != given
    return np.asarray(x), np.asarray(y), None if z is None else np.asarray(z)


def _residual(values, z):
    return values - np.polyval(np.polyfit(z, values, 1), z)


def test_gaussians_have_the_correlation_that_is_asked_for_given_z():
    for strength in (0.0, 0.4):
        x, y, z = _drawn("gaussian", strength, True)
        assert abs(np.corrcoef(_residual(x, z), _residual(y, z))[0, 1] - strength) < 4 / np.sqrt(NUM)
        x, y, _ = _drawn("gaussian", strength, False)
        assert abs(np.corrcoef(x, y)[0, 1] - strength) < 4 / np.sqrt(NUM)


def test_the_nonlinear_world_is_dependent_without_correlation():
    x, y, _ = _drawn("nonlinear", 0.5, False)
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(NUM) and np.corrcoef(x * x, y)[0, 1] > 0.2
    x, y, _ = _drawn("nonlinear", 0.0, False)
    assert abs(np.corrcoef(x * x, y)[0, 1]) < 4 / np.sqrt(NUM)
    # linear regressions on z leave what they share
    x, y, z = _drawn("nonlinear", 0.0, True)
    assert abs(np.corrcoef(_residual(x, z), _residual(y, z))[0, 1]) > 5 / np.sqrt(NUM)


@pytest.mark.parametrize("world, given", [("categorical", True), ("sparse", False)])
def test_tables_are_those_of_the_laws_and_of_the_copies(world, given):
    x, y, z = _drawn(world, 0.3, given)
    of_x, of_y = independence_tests_claims.laws(world, given)
    for value in range(len(of_x)):
        here = slice(None) if z is None else z == value
        size = of_x.shape[1]
        found = np.histogram2d(x[here], y[here], bins=(range(size + 1),) * 2)[0] / len(x[here])
        wanted = of_x[value][:, None] * (0.7 * of_y[value] + 0.3 * np.eye(size))
        np.testing.assert_allclose(found, wanted, atol=4 / np.sqrt(len(x[here])))


def test_information_in_closed_forms():
    information = independence_tests_claims.information
    assert abs(information("sparse", 0.0, True)) < 1e-12
    np.testing.assert_allclose(information("sparse", 1 - 1e-12, False), np.log(4), rtol=1e-6)
    same, other = 0.75, 0.25  # of a fair coin copied with probability 1/2
    wanted = np.log(2) + same * np.log(same) + other * np.log(other)
    np.testing.assert_allclose(information("categorical", 0.5, False), wanted)


def test_powers_are_those_of_counted_rejections():
    rng, num, sets = np.random.default_rng(0), 100, 1000
    u, w = rng.normal(size=(2, sets, num))
    v = 0.3 * u + np.sqrt(1 - 0.09) * w
    r = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(u, v, strict=True)])
    counted = (np.abs(np.arctanh(r)) * np.sqrt(num - 3) > stats.norm.ppf(0.975)).mean()
    found = independence_tests_claims.power("gaussian", "fisher_z", num, 0.3, False)
    assert abs(found - counted) < 4 * np.sqrt(counted * (1 - counted) / sets)
    x = rng.integers(0, 2, (sets, num))
    y = np.where(rng.uniform(size=x.shape) < 0.3, x, rng.integers(0, 2, x.shape))
    p = [
        stats.chi2_contingency(np.histogram2d(*pair, bins=2)[0], correction=False, lambda_="log-likelihood")[1]
        for pair in zip(x, y, strict=True)
    ]
    found = independence_tests_claims.power("categorical", "g", num, 0.3, False)
    assert abs(found - np.mean(np.array(p) < 0.05)) < 0.05  # noncentral chi^2 is the law of many samples
    assert independence_tests_claims.power("nonlinear", "kci", num, 0.3, False) is None


def test_every_judged_row_is_a_cell_of_quick_and_medium():
    rows = [row.quantity for row in independence_tests.REFERENCES]
    for preset in ("quick", "medium"):
        config = independence_tests.PRESETS[preset]
        cells = {
            independence_tests_claims._row(*test[:2], independence_tests_claims.label(*test[2:]), strength, quantity)
            for test in independence_tests_claims._tests(config.samples)
            for strength in (0, *config.strengths)
            for quantity in ("rejected", "p of uniformity")
        }
        assert set(rows) < cells and len(set(rows)) == len(rows)
        assert config.num_seeds == independence_tests_claims._NUM[preset]
        assert config.power_seeds == independence_tests_claims._NUM_POWER[preset]


def test_dependent_and_independent_data_of_one_law_have_one_program():
    smoke = independence_tests.PRESETS["smoke"]
    trials = {arm.name: independence_tests.build(arm.config) for arm in independence_tests.arms(smoke)}
    assert len(trials) == 8 and len({id(trial) for trial in trials.values()}) == 4


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(independence_tests, "iem/independence_tests", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for world, num, method, given in independence_tests_claims._tests((30,)):
        name = independence_tests_claims.label(method, given)
        rejected = outcome.measured[independence_tests_claims._row(world, num, name, 0.4, "rejected")]
        assert rejected.shape == (2,) and set(rejected.tolist()) <= {0.0, 1.0}
        uniform = outcome.measured[independence_tests_claims._row(world, num, name, 0, "p of uniformity")]
        assert 0 <= uniform.item() <= 1
