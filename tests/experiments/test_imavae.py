"""Experiments on VAEs: a whole smoke run, the choice of an evaluation, trials that do not disturb each other."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from experiments.imavae import (
    elbo_gap,
    flow,
    image_contrast,
    linear_map,
    moebius,
    penalties,
    priors,
    self_consistency,
    sprites,
    support,
    sweeps,
)
from experiments.imavae.vae import TRACED
from identax.conduct import Options, run_experiment
from identax.run import make_mesh, run
from identax.study import Trials

SMOKE = moebius.PRESETS["smoke"]


def _run(trials, config=SMOKE):
    mesh = make_mesh(devices=jax.devices()[:1])
    return run(moebius.build(config), trials, num_steps=20, log_every=10, evaluate_every=20, mesh=mesh, progress=False)


def _grid(**values):
    return Trials.grid(1, **{name: getattr(SMOKE, name) for name in TRACED} | values)


def test_no_trial_of_a_grid_touches_another():
    """Precisions from 1 to 1e6 beside a rate that diverges and one that saturates every sigmoid."""
    rates = [1e-3, 1e3, 1e30]
    whole = _run(_grid(precision=[1.0, 1e3, 1e6], learning_rate=rates))
    good = np.isclose(np.asarray(whole.trials.hparams["learning_rate"]), 1e-3)
    alone = _run(_grid(precision=[1.0, 1e3, 1e6], learning_rate=[1e-3]))
    assert (whole.failed_at[good] == 0).all() and (whole.failed_at[~good] > 0).any()
    for name, values in alone.evaluation.items():
        assert np.isfinite(values).all(), name
        np.testing.assert_allclose(whole.evaluation[name][good], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_precision_and_weight_of_the_divergence_are_wired_in():
    losses = _run(_grid(precision=[SMOKE.precision, 10.0], beta=[SMOKE.beta, 3.0])).train["loss"]
    assert np.isfinite(losses).all() and all(len(np.unique(one)) == 4 for one in losses.T)


@pytest.mark.slow
def test_a_training_set_is_drawn_once_and_only_from_it_batches_come():
    trial = _grid()[0]
    study = moebius.build(dataclasses.replace(SMOKE, num_examples=4))
    state = study.init(trial.keys, trial.hparams)
    assert state.truth["train"].shape == (4, 3) and "train" not in moebius.build(SMOKE).init(*trial_parts(trial)).truth
    step = jax.jit(lambda state: study.step(state, None)[1]["loss"])

    def loss_with(**changed):
        return step(dataclasses.replace(state, truth={**state.truth, **changed}))

    elsewhere = jax.tree.map(lambda leaf: leaf + 1, state.truth["world"])
    assert loss_with(world=elsewhere) == loss_with() != loss_with(train=state.truth["train"] + 1)


def trial_parts(trial):
    return trial.keys, trial.hparams


def test_the_evaluation_of_smallest_bound_is_chosen_and_failed_trials_are_nan():
    result = types.SimpleNamespace(
        evaluation={
            "-ELBO": np.array([[3.0, 1.0, 2.0], [1.0, np.nan, np.nan]]),
            "MCC": np.array([[0.1, 0.2, 0.3]] * 2),
        },
        failed_at=np.array([0, 7]),
    )
    found = sweeps.chosen(result, np.ones(2, bool), "MCC")
    assert found[0] == 0.2 and np.isnan(found[1])


@pytest.mark.parametrize("module", [moebius, self_consistency], ids=["moebius", "self_consistency"])
@pytest.mark.slow
def test_smoke_runs_to_a_report(module, tmp_path):
    name = module.__name__.removeprefix("experiments.").replace(".", "/")
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    measured = set(outcome.measured)
    asked = {row.quantity for row in module.REFERENCES}
    swept = {f"gamma^2 {p:.3g}" for p in module.PRESETS["smoke"].precisions}
    assert any(any(part in quantity for part in swept) for quantity in asked & measured)


def test_the_reference_mixing_has_three_dims():
    with pytest.raises(ValueError, match="dim=4 for the reference mixing"):
        moebius.build(dataclasses.replace(SMOKE, dim=4))


def test_a_prior_to_be_learned_is_refused_where_none_is():
    with pytest.raises(ValueError, match="found prior='beta', wanted one of"):
        moebius.build(dataclasses.replace(SMOKE, prior="beta"))
    for module, values in ((self_consistency, {"prior": "beta"}), (priors, {"priors": ("cauchy",)})):
        # Premises are stated before anything is built.
        reports = module.premises(dataclasses.replace(module.PRESETS["smoke"], **values)).values()
        with pytest.raises(ValueError, match=r"found prior='.*', wanted one of"):
            next(iter(reports))()


@pytest.mark.parametrize(
    ("module", "values", "words"),
    [
        (moebius, {"precisions": (1e4, 0.0)}, "found precisions down to 0"),
        (moebius, {"precisions": ()}, "found no precisions"),
        (moebius, {"beta": -1.0}, "found beta=-1"),
        (moebius, {"num_layers": 0}, "found num_layers=0"),
        (moebius, {"num_examples": 0}, "found num_examples=0"),
        (moebius, {"num_importance": -1}, "found num_importance=-1"),
        (moebius, {"published_batch": 1}, "found published_batch=1"),
        (self_consistency, {"precisions": (-1.0,)}, "found precisions=|found precisions down to -1"),
        (linear_map, {"precision": -1.0}, "found precision=-1"),
        (flow, {"batch_size": 0}, "found batch_size=0"),
        (priors, {"dims": ()}, "found no dims"),
        (elbo_gap, {"late_precisions": (1e6, -1.0)}, "found late_precisions down to -1"),
        (elbo_gap, {"num_nodes": 0}, "found num_nodes=0"),
        (sprites, {"grown_from": 0.0}, "found grown_from=0"),
        (image_contrast, {"generators": ("triangle",)}, "did you mean 'triangles'"),
        (image_contrast, {"generators": (), "obliques": ()}, "found neither generators nor obliques"),
        (image_contrast, {"obliques": (1.0,)}, "found obliques"),
        (penalties, {"weights": (1.0, -1.0)}, "found weights down to -1"),
        (support, {"num_couplings": 0}, "found num_couplings=0"),
        (support, {"hidden": 0}, "found hidden="),
        (sprites, {"hidden": ()}, "found hidden="),
    ],
)
def test_what_no_run_can_have_is_refused_before_one_begins(module, values, words):
    assert all(module.arms(config) for config in module.PRESETS.values())
    with pytest.raises(ValueError, match=words):
        module.arms(dataclasses.replace(module.PRESETS["smoke"], **values))
