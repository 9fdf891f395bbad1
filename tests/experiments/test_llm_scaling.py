"""Sizes, rates and optimisers: which programs there are, how a rate is chosen, when sizes differ, a smoke run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.llm import scaling as experiment
from experiments.llm import scaling_claims as claims
from experiments.llm.shared_claims import LOSS, MOST, RULE, learned_language
from identax.conduct import Options, run_experiment
from identax.plan import trials_of
from identax.run import Results, make_mesh
from identax.study import Trials

TINY = experiment.PRESETS["smoke"]


def test_a_program_per_size_whose_trials_are_rates_and_seeds():
    config = experiment.PRESETS["medium"]
    found = experiment.arms(config)
    assert [arm.name for arm in found][:2] == ["AdamW, heads 5, layers 1", "AdamW, heads 5, layers 3"]
    assert len({arm.name for arm in found}) == 7 and found[-1].name == "SGD, heads 5, layers 1"
    assert all(len(trials_of(experiment, arm)) == 9 for arm in found)
    assert (found[4].config.heads, found[4].config.layers, found[4].config.optimizer) == (10, 3, "AdamW")


def test_the_optimiser_of_an_arm_is_the_one_that_is_used():
    """Behind the first step, which moves nothing, SGD moves by rate times gradient, AdamW by about the rate."""
    rate, moved = 1e-3, {}
    for optimizer in ("SGD", "AdamW"):
        config = dataclasses.replace(TINY, optimizer=optimizer, heads=2, layers=1, warmup=1, dropout=0.0)
        study = experiment.build(config)
        trials = Trials.grid(1, learning_rate=[rate])

        @jax.jit
        def run(key, hparams, study=study):
            def step(state, _):
                state, _ = study.step(state, None)
                return state, state.params["blocks_0"]["linear1"]["kernel"]

            first, second = jax.lax.scan(step, study.init(key, hparams), None, length=2)[1]
            return jnp.abs(second - first).max()

        moved[optimizer] = run(trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams))
    assert moved["AdamW"] == pytest.approx(rate, rel=0.1) and 0 < moved["SGD"] < rate / 2


@pytest.mark.parametrize(
    "wrong", [{"grid_heads": ()}, {"grid_layers": (1, 1)}, {"rates": (1e-3, -1e-3)}, {"grid_layers": (0, 1)}]
)
def test_grids_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*wanted"):
        experiment.arms(dataclasses.replace(TINY, **wrong))


def test_heads_have_to_divide_the_width():
    arm = experiment.arms(dataclasses.replace(TINY, grid_heads=(3,)))[0]
    with pytest.raises(ValueError, match="heads that divide the width"):
        experiment.build(arm.config)


def _recorded(config):
    """Results of every arm as if it had run: the loss is least at the second rate, rule 1 largest at the first."""
    found = {}
    for arm in experiment.arms(config):
        trials, steps = trials_of(experiment, arm), np.array([0, config.num_steps])
        rates = np.asarray(trials.hparams["learning_rate"])
        second = np.isclose(rates, config.rates[1])
        loss = np.stack([np.ones(len(trials)), np.where(second, 0.1, 0.2)], axis=1)
        rule = np.stack([np.full(len(trials), 0.9), np.where(second, 0.1 * arm.config.layers, 0.8)], axis=1)
        metrics = {LOSS: loss, **dict.fromkeys(claims.SCORES, rule)}
        found[arm.name] = Results(
            trials, config.num_steps, steps, {}, steps, metrics, np.zeros(len(trials), int), None, {"run": 0.0},
            best_step=np.full(len(trials), config.num_steps),
        )  # fmt: skip
    return found


@pytest.mark.parametrize("preset", ["quick", "medium"])
def test_rows_that_are_judged_are_measured_and_the_loss_chooses_the_rate(preset):
    config = experiment.PRESETS[preset]
    measured = experiment.measure(config, _recorded(config))
    judged = {row.quantity for row in claims.REFERENCES if preset in row.bands}
    assert judged <= set(measured) and len(judged) >= 4
    arm = claims.arm_name("AdamW", 5, 1)
    np.testing.assert_allclose(measured[f"{arm}, {claims.BEST}: {RULE}"], 0.1)
    np.testing.assert_allclose(measured[f"{arm}, {claims.BEST}: {RULE}{MOST}"], 0.9)
    excess = (0.1 - learned_language(config).entropy_floor()) * 33
    np.testing.assert_allclose(measured[f"{arm}, {claims.BEST}: {claims.EXCESS}"], excess)
    assert measured[f"{claims.SIZES}: {claims.RANGE}"] == pytest.approx(0.1 * (config.grid_layers[-1] - 1))


def test_figures_show_what_ran():
    results = _recorded(TINY)
    assert len(experiment.figures(TINY, results)) == 3
    results = {name: result for name, result in results.items() if name.startswith("SGD")}
    assert len(experiment.figures(TINY, results)) == 2 and experiment.figures(TINY, {}) == []


def test_sizes_are_apart_only_where_seeds_are_not():
    near = claims.apart([np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.8])])
    far = claims.apart([np.array([0.1, 0.2, 0.15]), np.array([0.8, 0.7, 0.75]), np.array([0.4, np.nan, 0.5])])
    p = f"{claims.SIZES}: {claims.P_VALUE}"
    assert near[p] > 0.5 > 0.05 > far[p]
    assert far[f"{claims.SIZES}: {claims.RANGE}"] == pytest.approx(0.6)
    assert claims.apart([np.array([0.1, 0.2])]) == {} and claims.apart([np.ones(2), np.ones(2)])[p] == 1


def test_floors_of_the_bands_are_those_of_the_language():
    for preset, floor in claims.FLOORS.items():
        np.testing.assert_allclose(learned_language(experiment.PRESETS[preset]).entropy_floor(), floor, atol=1e-6)


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(experiment, "llm/scaling", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured[f"{claims.arm_name('AdamW', 2, 2)}, {claims.BEST}: {LOSS}"].shape == (2,)
