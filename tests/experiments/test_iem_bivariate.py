"""Continuous pairs: tests reject what the graph says, parity brings the code's faults, and each row is a cell."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import bivariate, bivariate_claims
from identax.conduct import Options, run_experiment
from identax.dgp import shipped_pair
from identax.run import make_mesh
from identax.study import Trials

SMOKE = bivariate.PRESETS["smoke"]


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(bivariate, "iem/bivariate", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured["as shipped, E = 20: both, accuracy"].shape == (6,)


@pytest.fixture(scope="module")
def strict():
    """A fixed run of the strict arm: 60 data sets of 100 environments in each of its cells."""
    with jax.enable_x64(True):
        config = dataclasses.replace(SMOKE, sampler="strict", num_environments=100)
        names = list(bivariate_claims.CONDITIONS["strict"])
        trials = Trials.grid(60, condition=list(range(len(names))), level=0.05)
        found = jax.jit(jax.vmap(bivariate.build(config)))(trials.keys, trials.hparams)
        split = {name: np.asarray(values).reshape(len(names), 60, -1) for name, values in found.items()}
    return {condition: {key: values[at] for key, values in split.items()} for at, condition in enumerate(names)}


def test_tests_that_hold_are_rejected_at_the_level_and_those_that_fail_more_often(strict):
    for condition, cell in strict.items():
        held = bivariate_claims.expected_tests("strict", condition)
        truth = cell["truth"][:, 0]
        # by the role of a variable: Y -> X has the first two tests the other way round
        rates = [cell["rejected"][truth == 0].T, cell["rejected"][truth == 1].T[[1, 0, 2]]]
        rejected = np.concatenate(rates, axis=1)
        for test, (holds, values) in enumerate(zip(held, rejected, strict=True)):
            error = np.sqrt(0.05 * 0.95 / len(values))
            assert (values.mean() < 0.05 + 4 * error) == holds, (condition, test, values.mean())
        assert (cell["rejected"][truth == 2].mean(axis=0) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / (truth == 2).sum())).all()


def test_directions_need_variability_that_second_moments_show(strict):
    right = {}
    for condition, cell in strict.items():
        truth, decided = cell["truth"][:, 0], cell["decided"][:, 0]
        right[condition] = (decided == truth)[(truth != 2) & (decided != 2)].mean()
    assert min(right["linear, cause"], right["linear, mechanism"], right["linear, both unequally"]) > 0.8
    assert 0.25 < right["linear, none"] < 0.75 and right["linear, both equally"] < 0.8


def test_parity_takes_the_noise_of_a_variable_and_not_of_a_role():
    conditions = list(bivariate_claims.CONDITIONS["as shipped"].items())
    draw = jax.jit(lambda key, row, structure: shipped_pair(key, 8, variability=row, parity=True, structure=structure))
    for name, row in conditions:
        for structure in (1, 2):
            found = draw(jax.random.key(0), np.array(row) > 0.5, structure).observations
            named = shipped_pair(jax.random.key(0), 8, variability=name, parity=True, structure=structure).observations
            np.testing.assert_allclose(found, named, rtol=1e-6)
            constant = np.asarray(found[:, 0, 1] == found[:, 1, 1]).all()  # Y is a cause or alone
            assert constant == (name == "cause")


def test_premises_name_what_fails():
    reports = bivariate.premises(SMOKE)
    strict, shipped = reports["strict, E = 20"], reports["as shipped, E = 20"]
    failing = {premise.name for premise in (*strict.premises, *shipped.premises) if premise.holds is False}
    assert failing == {
        "linear, both equally: faithfulness to second order",
        "linear, none: cause or mechanism variability of every edge",
        "cause: what varies is what is named",
        "mechanism: what varies is what is named",
    }
    assert "noise of Y is" in shipped.premise("cause: what varies is what is named").found
    coins = {one.quantity.partition(", dir")[0] for one in strict.predictions if one.value == 0.5}
    assert coins == {"linear, both equally", "linear, none"}


def test_every_judged_row_is_a_cell_and_measured():
    for preset in ("quick", "medium"):
        config = dataclasses.replace(bivariate.PRESETS[preset])
        cells = {
            f"{arm.name}: {condition}"
            for arm in bivariate.arms(config)
            for condition in bivariate_claims.CONDITIONS[arm.config.sampler]
        }
        rows = {row.quantity for row in bivariate.REFERENCES if preset == "medium" or "E = 400" not in row.quantity}
        assert {cell for cell in cells if any(row.startswith(f"{cell}, ") for row in rows)} >= {
            cell for cell in cells if "half" not in cell
        }
        assert all(any(row.startswith(f"{cell}, ") for cell in cells) for row in rows)
