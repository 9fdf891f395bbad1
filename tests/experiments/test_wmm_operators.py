"""Counts against closed forms, windows that never act, and chains of calls that keep or lose their values."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.wmm import operators, operators_claims
from identax.conduct import Options, run_experiment
from identax.run import make_mesh

SMOKE = operators.PRESETS["smoke"]


def config_of(name, **changes):
    found = next(arm.config for arm in operators.arms(SMOKE) if arm.name == name)
    return dataclasses.replace(found, **changes)


def test_expected_counts_are_the_published_ones():
    for name, example in operators_claims.EXAMPLES.items():
        if example.changes is not None:
            found = operators_claims.touch_of(config_of(name)).sum()
            np.testing.assert_allclose(found, example.changes, atol=5e-4)


@pytest.mark.parametrize(
    "name", ["gates of an LSTM 10 to 6, reinit, released", pytest.param(operators_claims.IDLE, marks=pytest.mark.slow)]
)
def test_counts_of_calls(name):
    config = config_of(name, num_calls=2000)
    metrics, arrays = jax.jit(operators.build(config))(jax.random.key(0), {})
    wanted = operators_claims.touch_of(config)
    error = np.sqrt(metrics["variance"] / config.num_calls)
    assert abs(metrics["changes"] - wanted.sum()) <= 4 * error
    assert not np.asarray(arrays["touched"])[wanted == 0].any()
    # The last unit of each gate is never touched.
    assert name == operators_claims.IDLE or ((wanted[-1] == 0).all() and (wanted[:-1] > 0).all())


def test_the_premise_says_which_window_never_acts():
    reports = operators.premises(SMOKE)
    holds = {name: report.premises[0].holds for name, report in reports.items()}
    assert [name for name, held in holds.items() if not held] == [operators_claims.IDLE]
    assert "c must be at least 0.12" in reports[operators_claims.IDLE].premises[0].found


@pytest.mark.slow
def test_a_permutation_keeps_entropy_and_values_and_the_released_shuffle_loses_them():
    found = {}
    for name in (operators_claims.RELEASED, "LSTM 88, shuffle"):
        config = config_of(name, shape=(12, 12), calls=(0, 300), c=0.5)
        found[name] = jax.jit(operators.build(config))(jax.random.key(1), {})
    kept, lost = found["LSTM 88, shuffle"], found[operators_claims.RELEASED]
    np.testing.assert_array_equal(kept["entropy"][0], kept["entropy"][1])
    np.testing.assert_array_equal(kept["distinct"][0], kept["distinct"][1])
    assert lost["distinct"][1] < 0.3 and lost["entropy"][1] < lost["entropy"][0] - 1


def test_every_row_with_a_band_is_measured_by_quick():
    names = {arm.name for arm in operators.arms(operators.PRESETS["quick"])}
    for row in operators.REFERENCES:
        assert row.quantity.partition(": ")[0] in names
    assert {f"{operators_claims.RELEASED}: entropy after {calls} calls" for calls in SMOKE.__class__().calls} <= {
        row.quantity for row in operators.REFERENCES
    }


@pytest.mark.slow
def test_the_smoke_preset_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(operators, "wmm/operators", "smoke", options=options)  # pyright: ignore[reportArgumentType]
    assert outcome.report is not None and not outcome.lost
    idle = f"{operators_claims.IDLE}: {operators_claims.CHANGES}"
    assert (outcome.measured[idle] == 0).all() and len(list((tmp_path / "run" / "figures").iterdir())) == 3
