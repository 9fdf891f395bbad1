"""Both readings of time-contrastive learning train on the same points, and are told apart from worlds outside it."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import tcl_duality, tcl_duality_claims
from identax import plan
from identax.conduct import run_experiment

SMOKE = tcl_duality.PRESETS["smoke"]


@pytest.mark.slow
def test_both_readings_are_the_same_points_bit_for_bit():
    config = dataclasses.replace(SMOKE, num_layers=1)
    drawn = jax.jit(lambda world: tcl_duality.draw(config, jax.random.key(3), world))
    cause, mechanism = map(drawn, (0, 1))
    for name, values in cause.items():
        np.testing.assert_array_equal(values, mechanism[name], err_msg=name)
    x = np.asarray(cause["x"])
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(3), atol=1e-4)
    rotated = drawn(4)
    assert np.abs(rotated["x"] - x).max() > 0.1


def test_premises_hold_for_both_readings_and_fail_for_every_control():
    reports = {name: report() for name, report in tcl_duality.premises(SMOKE).items()}
    covered = {name: report.covered for name, report in reports.items()}
    assert covered == {
        "cause": True,
        "mechanism": True,
        "cause, linear mixing": True,
        "const": False,
        "tied": False,
        "rotated": False,
    }
    assert "rank 1" in reports["tied"].premise("variability").found
    assert "rank 0" in reports["const"].premise("variability").found


def test_worlds_share_their_programs():
    arms = tcl_duality.arms(SMOKE)
    studies, _ = plan.built(tcl_duality, arms, None)
    assert len({id(studies[name]) for name in tcl_duality_claims.WORLDS}) == 1
    assert studies["cause, linear mixing"] is not studies["cause"]
    assert [arm.config.world for arm in arms] == [0, 1, 0, 2, 3, 4]


@pytest.mark.slow
def test_the_smoke_preset_runs():
    outcome = run_experiment(tcl_duality, "iem/tcl_duality", "smoke")
    for reference in tcl_duality.REFERENCES:
        assert np.isfinite(outcome.measured[reference.quantity]).all(), reference.quantity
    assert outcome.measured["mechanism: worst difference from cause"] == 0
