"""csi/simulation: smoke preset end to end, every conditional and regime traced, unit rows, the paper preset."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.csi import simulation, simulation_claims
from experiments.csi.clusters import init_world, world
from identax.assumptions import bayes_cross_entropy
from identax.conduct import Options, run_experiment
from identax.dgp import VonMisesFisher, identity
from identax.run import make_mesh
from identax.study import Trials

SMOKE = dataclasses.replace(simulation.PRESETS["smoke"], targets="class", num_steps=20)


def _trial(config):
    """A study built as the runner does, with NaN in traced fields, and its first trial."""
    static = dataclasses.replace(config, **dict.fromkeys(simulation.TRACED, float("nan")))
    trials = Trials.grid(1, **{name: getattr(config, name) for name in simulation.TRACED})
    return simulation.build(static), jax.tree.map(lambda leaf: leaf[0], trials)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("smoke") / "run", []
    options = Options(workdir=folder, mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    return run_experiment(simulation, "csi/simulation", "smoke", options=options, say=said.append), "\n".join(said)


@pytest.mark.slow
def test_both_arms_run_and_are_reported(smoke):
    outcome, said = smoke
    assert list(outcome.results) == ["supervised", "diet"]
    for name, result in outcome.results.items():
        assert not result.failed_at.any(), name
        assert all(np.isfinite(values).all() for values in result.evaluation.values()), name
    assert outcome.report.exists()
    assert {row.quantity for row in outcome.comparisons} == {r.quantity for r in simulation.REFERENCES}
    assert "linear (C4)" in said and "affine rank 3 of 10" in said
    for arm in ("supervised", "diet"):
        difference = outcome.measured[f"{arm}: loss on fresh data"] - outcome.measured[f"{arm}: Bayes loss"]
        np.testing.assert_allclose(outcome.measured[f"{arm}: loss above Bayes"], difference, atol=1e-5)
        assert (difference > 0).all()


@pytest.mark.slow
def test_the_predicted_bayes_loss_of_instances_is_that_of_classes_and_the_log_of_n_over_c(smoke):
    _, said = smoke
    by_class, by_instance = (float(line.split()[2]) for line in said.splitlines() if line.strip().startswith("Bayes"))
    assert abs(by_instance - by_class - np.log(2)) < 0.02


@pytest.mark.parametrize(
    "change",
    [
        {"conditional": "laplace", "marginal": "laplace"},
        {"conditional": "normal", "marginal": "normal", "targets": "instance"},
        {"conditional": "generalized_normal", "unit_rows": True},
        {"conditional": "truncated_laplace", "unit_features": True},
        {"balanced": False, "imbalance": 1.0, "label_noise": 0.3},
        {"unit_rows": True, "unit_features": True, "head_block": 7},
        {"batch_norm": False, "label_swaps": 0.5, "targets": "instance"},
    ],
)
def test_every_conditional_and_regime_builds(change):
    """Traced only: shapes of the state do not change in a step, and every metric is one number."""
    study, trial = _trial(dataclasses.replace(SMOKE, **change))
    state = jax.eval_shape(study.init, trial.keys, trial.hparams)
    after, metrics = jax.eval_shape(study.step, state, None)
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)
    found = jax.eval_shape(study.evaluate, state, trial.keys)
    assert metrics["loss"].shape == () and all(value.shape == () for value in found.values())
    assert {"R2", "head R2", "Bayes loss", "loss above Bayes"} <= found.keys()
    assert ("singular value error" in found) == bool(change.get("unit_rows") or change.get("unit_features"))


@pytest.mark.slow
def test_unit_rows_are_projected_before_the_step_and_not_differentiated_through():
    study, trial = _trial(dataclasses.replace(SMOKE, unit_rows=True, learning_rate=1e-3))
    free, _ = _trial(SMOKE)
    state = study.init(trial.keys, trial.hparams)
    rows = state.params["head"]
    unit = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
    got, _ = jax.jit(study.step)(state, None)
    want, _ = jax.jit(free.step)(dataclasses.replace(state, params={**state.params, "head": unit}), None)
    np.testing.assert_allclose(got.params["head"], want.params["head"], atol=1e-6)
    norms = np.linalg.norm(got.params["head"], axis=1)
    assert 1e-6 < np.abs(norms - 1).max() < 5e-3  # the step leaves the sphere by about the learning rate


def test_perfect_features_score_one_and_cost_the_bayes_loss():
    """A mixing of one matrix, and an encoder of one layer that is its inverse: the optimum of the theorem."""
    config = dataclasses.replace(SMOKE, hidden=(), batch_norm=False, num_mixing_layers=1, num_evaluate=2000)
    study, trial = _trial(config)
    state = jax.jit(study.init)(trial.keys, trial.hparams)
    (matrix,) = state.truth["mixing"]
    general = jnp.asarray(np.random.default_rng(0).normal(size=matrix.shape), jnp.float32)
    layer = {"kernel": jnp.linalg.inv(matrix.T) @ general, "bias": jnp.zeros(config.dim)}
    params = {"encoder": {"Dense_0": layer}, "head": 10.0 * state.truth["vectors"] @ jnp.linalg.inv(general).T}
    evaluate = jax.jit(study.evaluate)
    found = evaluate(dataclasses.replace(state, params=params), trial.keys)
    assert found["R2"] > 0.9999 and found["head R2"] > 0.9999
    assert abs(found["loss above Bayes"]) < 1e-4
    assert found["Bayes loss"] > 0.1
    colder = {**params, "head": 1.5 * params["head"]}
    assert evaluate(dataclasses.replace(state, params=colder), trial.keys)["loss above Bayes"] > 0.01


def test_the_paper_preset_is_the_authors_setting():
    config = simulation.PRESETS["paper"]
    assert (config.dim, config.num_clusters, config.num_labels, config.kappa) == (5, 100, 1000, 10.0)
    assert (config.batch_size, config.learning_rate, config.schedule) == (1024, 1e-3, "constant")
    assert config.num_steps == config.num_supervised_steps == 50_000
    study, trial = _trial(dataclasses.replace(config, pool_size=10))
    state = jax.eval_shape(study.init, trial.keys, trial.hparams)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params["encoder"])) == 216_305
    assert state.params["head"].shape == (1000, 5)
    assert [weight.shape for weight in state.truth["mixing"]] == [(5, 5)] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kappa": -1.0}, "kappa"),
        ({"conditional": "laplace", "scale": 0.0}, "scale"),
        ({"conditional": "truncated_laplace", "shape": 0.2}, "centre"),
        ({"label_noise": 1.5}, "label_noise"),
        ({"label_swaps": -0.5}, "swap_labels"),
        ({"balanced": False, "imbalance": -2.0}, "imbalance"),
        ({"num_labels": 5}, "num_labels"),
    ],
)
def test_worlds_out_of_range_are_refused_before_training(change, message):
    with pytest.raises(ValueError, match=message):
        simulation_claims.report(dataclasses.replace(SMOKE, **change))


@pytest.mark.slow
def test_few_clusters_are_a_failed_premise_not_an_error():
    lines = simulation_claims.report(dataclasses.replace(SMOKE, num_clusters=3)).lines()
    assert any("FAILS" in line and "affine rank 2 of 3" in line for line in lines)


@pytest.mark.slow
def test_reports_share_a_program_and_keep_their_own_world():
    simulation_claims._bayes.cache_clear()
    changes = ({}, {"kappa": 40.0}, {"unit_rows": True, "num_steps": 3}, {"seed": 5})
    found = [
        float(simulation_claims.report(dataclasses.replace(SMOKE, **change)).prediction("Bayes loss").value)
        for change in changes
    ]
    assert simulation_claims._bayes.cache_info().misses == 1
    assert found[0] == found[2] and found[1] < found[0] - 0.2 and found[3] != found[0]
    keys = Trials.grid(SMOKE.num_seeds, seed=SMOKE.seed).keys
    dgp = world(SMOKE, identity())
    direct = [
        bayes_cross_entropy(
            draws,
            init_world(SMOKE, dgp, key, {"kappa": 40.0, "scale": 1.0, "shape": 2.0})["vectors"],
            VonMisesFisher(40.0),
            num_labels=SMOKE.num_labels,
        ).mean
        for key, draws in zip(keys, jax.random.split(jax.random.key(1), len(keys)), strict=True)
    ]
    np.testing.assert_allclose(found[1], np.mean(direct), rtol=1e-5)
