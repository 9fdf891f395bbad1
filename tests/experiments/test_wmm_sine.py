"""The sine series: parts that do not overlap, errors as published, the distance of two mixings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from experiments.wmm import sin, sin_claims, sin_noise, sin_noise_claims
from experiments.wmm.sine import SineConfig, errors, forecasts, sine_parts
from identax.conduct import Options, run_experiment
from identax.data import sine_mixings, sine_series
from identax.run import make_mesh

SMOKE = sin.PRESETS["smoke"]


@pytest.mark.slow
@pytest.mark.parametrize("module", [sin, sin_noise])
def test_smoke_runs_to_a_report(module, tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    name = f"wmm/{module.__name__.split('.')[-1]}"
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    named = {row.quantity for row in outcome.comparisons}
    assert {row.quantity for row in module.REFERENCES} == named  # every reference is a quantity that is measured
    cell = sin_claims._RELEASED if module is sin else sin_noise_claims._RELEASED
    assert outcome.measured[f"{cell}: entropy - baseline"].shape == (2,)


def test_validation_behind_a_gap_shares_no_entry_with_training():
    config = dataclasses.replace(SMOKE, num_train=300, num_validation=40, window=6)
    parts = {kind: sine_parts(dataclasses.replace(config, validation=kind), "none") for kind in ("block", "published")}

    def entries(examples):
        inputs, targets = jax.jit(examples.get)(jnp.arange(examples.num))
        return {tuple(row) for row in np.concatenate([np.asarray(inputs).reshape(-1, 3), np.asarray(targets)])}

    train, validation, _ = parts["block"]
    assert validation.num == 40 and not entries(train) & entries(validation)
    train, validation, _ = parts["published"]
    assert validation.num == 40 and train.num == 260 and len(entries(train) & entries(validation)) > 100
    with pytest.raises(ValueError, match="validation"):
        sine_parts(dataclasses.replace(config, validation="none"), "none")


def test_the_network_sees_the_entries_that_are_named():
    config = dataclasses.replace(SMOKE, num_train=300, num_validation=40, window=6)
    whole, some = (sine_parts(dataclasses.replace(config, entries=entries), "none") for entries in ((), (0, 4, 5)))
    rows, kept = jnp.arange(20), np.array([0, 4, 5])
    for full, part in zip(whole[:2], some[:2], strict=True):
        inputs, targets = full.get(rows)
        np.testing.assert_array_equal(inputs[:, kept], part.get(rows)[0])
        np.testing.assert_array_equal(targets, part.get(rows)[1])
    np.testing.assert_array_equal(whole[2].inputs[:, kept], some[2].inputs)
    for wrong in ((0, 6), (1, 0), (2, 2), (-1, 3)):
        with pytest.raises(ValueError, match="numbers from 0 to 5 that rise"):
            sine_parts(dataclasses.replace(config, entries=wrong), "none")


def test_what_the_entry_half_a_period_ago_tells_of_the_chirp():
    chirp, foretold = sin.half_a_period_ago(SineConfig())
    series, t = sine_series(70_100), np.linspace(-701 * np.pi, 701 * np.pi, 70_100)
    waves = 2 * np.cos(5 * (t - 2) + np.pi / 2)
    np.testing.assert_allclose(chirp, (series[:, 2] - waves)[-10_000:], atol=1e-9)
    first = (series[:, 2] - waves)[-10_050:-50]  # of each test window
    np.testing.assert_allclose(foretold, -first * np.cos(np.pi * np.cos(t[-10_050:-50])), atol=1e-9)
    wanted = (1 - special.j0(2 * np.pi)) / 4
    assert abs(np.mean((chirp - foretold) ** 2) - wanted) < 0.003 and round(wanted, 3) == 0.195
    found = sin.repeated(SineConfig())
    assert round(found["chirp half a period ago, MSE"], 3) == 0.196 and round(found["chirp unknown, MSE"], 2) == 0.49


def test_errors_are_sums_over_channels():
    found = errors(np.ones((5, 3)), np.zeros((5, 3)))
    assert (found["MSE"], found["MAE"], found["MSE per element"]) == (3.0, 3.0, 1.0)
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.testing.assert_allclose(errors(x, y)["MSE per element"], np.mean((x - y) ** 2))


def test_predictors_that_learn_nothing_have_the_published_level():
    found = sin.build(dataclasses.replace(SineConfig(), role="predictors")).trial(None, None)
    series = sine_series(70_100)[-10_050:]
    last = np.mean((series[50:] - series[49:-1]) ** 2)
    np.testing.assert_allclose(found["last entry, MSE per element"], last, rtol=1e-5)
    assert round(last, 3) == 0.429
    np.testing.assert_allclose(found["test mean, MSE per element"], series[50:].var(axis=0).mean(), rtol=1e-5)
    assert round(found["test mean, MSE per element"], 2) == 3.21 < found["training mean, MSE per element"]


def test_a_perfect_predictor_s_error_is_the_distance_of_the_mixings():
    found = sin_noise.build(dataclasses.replace(SineConfig(), role="predictors")).trial(None, None)
    y = sine_series(70_100)[-10_000:]
    one, other = sine_mixings()
    distance = np.trace((one - other).T @ (y.T @ y / len(y)) @ (one - other))
    np.testing.assert_allclose(found["perfect predictor, MSE, one per set"], distance, rtol=1e-5)
    assert round(distance, 2) == 31.11 and round(found["perfect predictor, MAE, one per set"], 2) == 6.97
    assert found["perfect predictor, MSE, one mixing"] < 1e-8 < found["last entry, mixed, MSE, one mixing"]
    report = sin_noise.premises(SMOKE)["baseline"]
    assert [premise.holds for premise in report.premises] == [True, False]
    assert report.prediction("test MSE, one per set").value == 31.11


def test_test_targets_of_both_mixings_are_scored_and_training_has_one():
    study = sin_noise.build(SMOKE)
    state = jax.eval_shape(study.init, jax.random.key(0), {"learning_rate": 0.0, "p": 0.1, "c": 0.1})
    nothing = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state.params)
    found = jax.jit(lambda params: study.evaluate(dataclasses.replace(state, params=params), None))(nothing)
    sizes = SMOKE.num_train, SMOKE.num_test, SMOKE.window
    for name, mixing in sin_noise_claims.MIXINGS.items():
        targets = forecasts(mixing, *sizes)[1].targets
        np.testing.assert_allclose(found[f"test MSE, {name}"], np.mean(np.sum(targets**2, axis=1)), rtol=1e-4)
    trained = [forecasts(mixing, *sizes)[0].targets for mixing in sin_noise_claims.MIXINGS.values()]
    np.testing.assert_array_equal(*trained)


def test_cells_start_alike_and_every_published_cell_is_an_arm():
    config = dataclasses.replace(sin.PRESETS["medium"], grid_p=(0.4,), grid_c=(0.1,))
    arms = {arm.name: arm for arm in sin.arms(config)}
    assert set(arms) == {"baseline", "reinit", "shuffle", "shuffle, released", "predictors"}
    assert arms["shuffle, released"].sweep == {"p": (0.1044, 0.4), "c": (0.3409, 0.1)}
    assert arms["reinit"].config.layer == "lstm2" and arms["reinit"].config.gate == "output"
    reports = sin.premises(config)
    assert reports.keys() == {"reinit", "shuffle", "shuffle, released"}
    assert all(report.covered for report in reports.values())
