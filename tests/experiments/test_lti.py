"""The studies of linear systems run, and their tables hold what they promise."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from experiments import registry
from identax.conduct import Options, run_experiment
from identax.run import make_mesh

SAME_TRIAL = ("table2", "design_sweep")
"""whose trial function is that of table1"""
NAMES = ("table1", "dc_motor", "published_training", *SAME_TRIAL)


_SLOW = ("published_training", *SAME_TRIAL)


@pytest.mark.parametrize(
    "name, only",
    [
        pytest.param("table1", ("d 2, random",), marks=pytest.mark.slow),
        pytest.param("dc_motor", (), marks=pytest.mark.slow),  # tests/experiments/test_recorded_reports.py runs it too
        pytest.param("table1", ("d 2, maximal, published seeds",), marks=pytest.mark.slow),
        *(pytest.param(name, (), marks=pytest.mark.slow) for name in _SLOW),
    ],
)
def test_smoke(name, only):
    module = registry.load(f"lti/{name}")
    options = Options(mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=only)
    outcome = run_experiment(module, f"lti/{name}", "smoke", options=options)
    assert outcome.measured
    for quantity, values in outcome.measured.items():
        assert values.dtype == np.float64, quantity
        # a profile gap of a factor two need not occur among two systems
        assert np.isfinite(values).all() or "smallest MCC" in quantity, quantity
        if quantity.endswith("MCC"):
            assert np.all((values >= 0) & (values <= 1 + 1e-9) | np.isnan(values)), quantity


@pytest.mark.slow
def test_references_name_quantities_that_are_measured():
    for name in NAMES:
        module = registry.load(f"lti/{name}")
        arms = {arm.name for arm in module.arms(module.PRESETS["quick"])}
        reports = module.premises(module.PRESETS["quick"])
        assert set(reports) == arms - {"Kalman"}  # a further method on the worlds of another arm
        first = next(iter(reports.values()))()
        assert first.lines()


def test_columns_of_table1_share_one_program():
    module = registry.load("lti/table1")
    arms = module.arms(module.PRESETS["paper"])
    cells = [math.prod(len(values) for values in arm.sweep.values()) for arm in arms]
    assert len(arms) == 20 and sum(cells) == 45 + 5 * 45  # random systems, and those of the five published seeds


@pytest.mark.slow
def test_the_noisy_motor_is_also_fitted_by_whole_trajectories():
    module = registry.load("lti/dc_motor")
    config = dataclasses.replace(module.PRESETS["smoke"], kalman_systems=1, num_samples=2000)
    options = Options(mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, "lti/dc_motor", "smoke", config=config, options=options)
    assert outcome.measured["noise 0.01: Kalman, error of F below pairs'"].shape == (1,)
    assert outcome.measured["noise 0.01: Kalman, error of F"][0] < 0.2
    assert not any(name.startswith("noise 0: Kalman") for name in outcome.measured)


def test_designed_environments_are_not_those_of_a_seed():
    module = registry.load("lti/design_sweep")
    with pytest.raises(ValueError, match=r"found author=2\.0, wanted -1"):
        module.arms(dataclasses.replace(module.PRESETS["quick"], author=2.0))
    assert "author" not in module.TRACED
