"""Continuous pairs: tests reject what the graph says, parity brings the code's faults, and each row is a cell."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import bivariate, bivariate_claims, bivariate_known
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


def _strict(names, num, sampler="strict"):
    """Data sets of 100 environments in each of these cells."""
    with jax.enable_x64(True):
        config = dataclasses.replace(SMOKE, sampler=sampler, num_environments=100)
        rows = [list(bivariate_known.CONDITIONS[sampler]).index(name) for name in names]
        trials = Trials.grid(num, condition=rows, level=0.05)
        found = jax.jit(jax.vmap(bivariate.build(config)))(trials.keys, trials.hparams)
        split = {name: np.asarray(values).reshape(len(names), num, -1) for name, values in found.items()}
    return {condition: {key: values[at] for key, values in split.items()} for at, condition in enumerate(names)}


def _share(values):
    """A share, and what it may at most be of tests that are rejected at 5 %."""
    return values.mean(), 0.05 + 4 * np.sqrt(0.05 * 0.95 / len(values))


def _check_tests(cells):
    for condition, cell in cells.items():
        truth = cell["truth"][:, 0]
        # by the role of a variable: Y -> X has the first two tests the other way round
        rejected = np.concatenate([cell["rejected"][truth == 0], cell["rejected"][truth == 1][:, [1, 0, 2]]])
        for holds, values in zip(bivariate_claims.expected_tests("strict", condition), rejected.T, strict=True):
            share, most = _share(values)
            assert (share < most) == holds, (condition, share)
        for values in cell["rejected"][truth == 2].T:
            share, most = _share(values)
            assert share < most, condition


def _directions(cells):
    right = {}
    for condition, cell in cells.items():
        truth, decided = cell["truth"][:, 0], cell["decided"][:, 0]
        right[condition] = (decided == truth)[(truth != 2) & (decided != 2)].mean()
    return right


def test_tests_are_rejected_as_the_graph_says_and_directions_need_variability():
    cells = _strict(["linear, cause", "linear, mechanism", "linear, none"], 40)
    _check_tests(cells)
    right = _directions(cells)
    assert min(right["linear, cause"], right["linear, mechanism"]) > 0.75 and 0.2 < right["linear, none"] < 0.8


def test_by_second_moments_equal_spreads_are_a_coin_and_unequal_ones_none():
    names = ["linear, cause", "linear, both equally", "linear, none"]
    cells = _strict(names, 150, sampler="second moments")
    _check_tests(cells)
    right = _directions(cells)
    assert right["linear, cause"] > 0.8
    for name in names[1:]:
        assert abs(right[name] - 0.5) < 4 * 0.5 / np.sqrt(100), name


@pytest.mark.slow
def test_every_strict_cell_rejects_what_it_should():
    cells = _strict(list(bivariate_known.CONDITIONS["strict"]), 80)
    _check_tests(cells)
    right = _directions(cells)
    assert right["linear, both equally"] < 0.75 < right["linear, both unequally"]


@jax.jit
def _as_shipped(key, rows, structures):
    """Of every row of flags and structure, and of the second row by its name."""

    def draw(flags, structure):
        return shipped_pair(key, 8, variability=flags, parity=True, structure=structure).observations

    named = shipped_pair(key, 8, variability="cause", parity=True, structure=structures[0]).observations
    return jax.vmap(lambda flags: jax.vmap(lambda structure: draw(flags, structure))(structures))(rows), named


def test_parity_takes_the_noise_of_a_variable_and_not_of_a_role():
    conditions = bivariate_known.CONDITIONS["as shipped"]
    found, named = _as_shipped(jax.random.key(0), np.array(list(conditions.values())) > 0.5, np.array([1, 2]))
    np.testing.assert_allclose(found[1, 0], named, rtol=1e-6)
    same = np.asarray(found[..., 0, :] == found[..., 1, :]).all(axis=2)  # what varies, structure, variable
    # Y -> X and no edge: Y is a noise alone in both, X in the second
    np.testing.assert_array_equal(same[:, :, 1], [[False] * 2, [True] * 2, [False] * 2])
    np.testing.assert_array_equal(same[:, :, 0], [[False] * 2, [False] * 2, [False, True]])


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


def test_every_judged_row_is_a_cell_of_medium_and_every_cell_but_those_without_a_known_number_has_one():
    cells = {
        f"{arm.name}: {condition}"
        for arm in bivariate.arms(bivariate.PRESETS["medium"])
        for condition in bivariate_known.CONDITIONS[arm.config.sampler]
    }
    judged = {cell for cell in cells if any(row.quantity.startswith(f"{cell}, ") for row in bivariate.REFERENCES)}
    assert all(any(row.quantity.startswith(f"{cell}, ") for cell in judged) for row in bivariate.REFERENCES)
    assert all("half quadratic" in cell and "E = 400" in cell for cell in cells - judged)
