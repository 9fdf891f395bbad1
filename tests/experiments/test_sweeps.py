"""The sweeps of contrastive ICA: what is drawn, what is measured of it, what is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import ive
from scipy.stats import spearmanr

from experiments.contrastive_ica import matrix, sweeps, table1, worlds
from identax.conduct import Options, run_experiment
from identax.dgp import identity
from identax.run import Results, make_mesh
from identax.study import Trials

SMOKE = sweeps.PRESETS["smoke"]


@pytest.mark.slow
def test_smoke(tmp_path):
    only = ("concentration", "marginal")  # one program; another dim is another one
    mesh = make_mesh(devices=jax.devices()[:1])
    options = Options(workdir=tmp_path / "run", mesh=mesh, progress=False, only=only)
    outcome = run_experiment(sweeps, "contrastive_ica/sweeps", "smoke", options=options)
    wanted = [one.quantity for one in sweeps.REFERENCES if not one.quantity.startswith("dimension")]
    assert [row.quantity for row in outcome.comparisons] == wanted
    assert all(row.n == SMOKE.num_seeds for row in outcome.comparisons)
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 2
    measured = outcome.measured
    for quantity in ("R2", "identity R2"):  # the point that both sweeps share
        shared = [measured[f"{point}: {quantity}"] for point in ("marginal 0", "concentration 10")]
        np.testing.assert_allclose(*shared, rtol=1e-5)
    assert (measured["marginal 0: identity R2"] != measured["marginal 30: identity R2"]).all()


@pytest.mark.parametrize("kappa", [0.0, 2.0, 40.0])
def test_the_marginal_has_the_mean_of_its_law(kappa):
    num, n = 20_000, 4
    cell = matrix.Cell(space="sphere", dim=n, marginal="vmf", conditional="vmf")
    _, anchors = worlds.worlds(cell, identity())

    @jax.jit
    def draw(kappa):
        laws = worlds.laws(cell, vars(cell) | {"marginal_scale": kappa})
        return anchors.sample({"mixing": (), **laws}, jax.random.key(3), num).latents

    z = np.asarray(draw(kappa), float)
    mean = ive(n / 2, kappa) / ive(n / 2 - 1, kappa) if kappa else 0.0
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    wanted = np.array([mean, 0, 0, 0])
    assert (np.abs(z.mean(axis=0) - wanted) < 6 * z.std(axis=0) / num**0.5).all()


@pytest.mark.parametrize("preset", sorted(sweeps.PRESETS))
def test_both_swept_arms_are_one_program_of_as_many_trials(preset):
    marginal, concentration = (
        next(arm for arm in sweeps.arms(sweeps.PRESETS[preset]) if arm.name == name)
        for name in ("marginal", "concentration")
    )
    assert marginal.config == concentration.config and marginal.config.space == "sphere"
    assert [len(values) for values in marginal.sweep.values()] == [
        len(values) for values in concentration.sweep.values()
    ]
    assert set(marginal.sweep) | set(concentration.sweep) <= set(sweeps.TRACED)


@pytest.mark.slow
def test_premises_fail_with_the_marginal_alone():
    reports = sweeps.premises(sweeps.PRESETS["quick"])
    assert not reports["marginal"].covered
    assert reports["concentration"].covered and reports["dimension 6"].covered


def made(r2, identity, **values):
    """Results of a swept arm whose final scores are given, [values * seeds]."""
    trials = Trials.grid(2, **values)
    scores = {"R2": np.ravel(r2), "identity R2": np.ravel(identity)}
    found = {name: np.asarray(column, float)[:, None] for name, column in scores.items()}
    empty = np.zeros(len(trials), int)
    return Results(trials, 1, np.zeros(1), {}, np.zeros(1), found, empty, None, {})


def test_what_is_measured_of_a_curve():
    config = dataclasses.replace(SMOKE, marginals=(0.0, 3.0, 9.0, 1.0), dims=(3,))
    r2 = np.array([[0.9, 0.5], [0.7, 0.6], [0.2, 0.8], [0.8, np.nan]])
    measured = sweeps.measure(config, {"marginal": made(r2, r2 - 0.1, marginal_scale=config.marginals)})
    np.testing.assert_array_equal(measured["marginal 9: R2"], r2[2])
    np.testing.assert_allclose(measured["marginal: R2 lost"], [0.7, -0.3])
    np.testing.assert_allclose(measured["marginal: R2 above identity"], [0.1, np.nan])
    correlations = measured["marginal: rank correlation of R2 with kappa"]
    np.testing.assert_allclose(correlations, [spearmanr([0, 3, 9, 1], r2[:, 0]).statistic, np.nan])
    assert not any(name.startswith(("dimension", "concentration")) for name in measured)


def test_the_dimension_sweep_takes_the_shared_point_from_the_marginals():
    config = dataclasses.replace(SMOKE, dims=(3, 9))
    results = {
        "marginal": made([[0.9, 0.8], [0.1, 0.1]], np.zeros(4), marginal_scale=config.marginals),
        "dimension 9": made([0.7, 0.9], [0.2, 0.3]),
    }
    measured = sweeps.measure(config, results)
    np.testing.assert_allclose(measured["dimension 4: R2"], [0.9, 0.8])
    np.testing.assert_allclose(measured["dimension: lowest R2"], [0.7, 0.8])
    np.testing.assert_allclose(measured["dimension: R2 above identity"], [0.5, 0.6])
    assert len(sweeps.figures(config, results)) == 2


def test_another_marginal_starts_alike_and_is_scored_on_its_own_draws():
    row = table1.arms(table1.PRESETS["smoke"])[1]
    ours, theirs = (matrix.build(arm.config) for arm in (sweeps.arms(SMOKE)[0], row))
    assert ours.init is theirs.init and ours.evaluate is not theirs.evaluate and ours.step is not theirs.step


def test_bad_input():
    with pytest.raises(ValueError, match="wanted 0 among the first and kappa=10"):
        sweeps.arms(dataclasses.replace(SMOKE, marginals=(1.0, 30.0)))
    with pytest.raises(ValueError, match=r"dims=\(3, 4\) beside 4"):
        sweeps.arms(dataclasses.replace(SMOKE, dims=(3, 4)))
    cell = sweeps.arms(SMOKE)[0].config
    with pytest.raises(ValueError, match=r"kappa=-1\.0, wanted a positive finite number"):
        matrix.check(dataclasses.replace(cell, marginal_scale=-1.0))
    with pytest.raises(ValueError, match=r"VonMisesFisher: found the space Box"):
        matrix.check(dataclasses.replace(cell, space="box", conditional="laplace"))
    with pytest.raises(ValueError, match=r"Uniform: found the space Euclidean"):
        matrix.check(dataclasses.replace(cell, space="unbounded", marginal="uniform", conditional="laplace"))
    with pytest.raises(ValueError, match=r"p=0\.5"):
        box = {"space": "box", "marginal": "uniform", "objective": "lp_infonce", "head": "box"}
        matrix.check(dataclasses.replace(cell, **box, conditional="generalized_normal", conditional_p=0.5))
    with pytest.raises(ValueError, match="did you mean 'vmf'"):
        matrix.check(dataclasses.replace(cell, marginal="vfm"))
