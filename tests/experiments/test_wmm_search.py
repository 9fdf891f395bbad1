"""Searches as trials: protocols, what is kept of them, and what one shared model does to the published one."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from experiments.wmm import search, search_claims
from experiments.wmm.digit_task import digit_task, task_of
from experiments.wmm.search_protocol import _programs, _training_of, searched
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from identax.search import tpe_installed

SMOKE = search.PRESETS["smoke"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"places": ()}, "found place of the values"),
        ({"p_range": (0.1, 1.2)}, "wanted 0 to 1"),
        ({"c_range": (0.0, 0.2)}, r"wanted a share of an axis in \(0, 1\]"),
        ({"block": 0}, "found block=0"),
        ({"batch": 0}, "found batch=0"),
        ({"num_trials": 0}, "found num_trials=0"),
        ({"train_steps": 3, "look_every": 2}, "look_every=2 of 3 steps"),
        ({"protocol": "shared"}, "did you mean 'shared model'"),
    ],
)
def test_bad_settings_are_refused_before_anything_compiles(changed, message):
    task = digit_task("images", split_seed=1)
    with pytest.raises(ValueError, match=message):
        searched(dataclasses.replace(SMOKE, **changed), task)


def test_arms_say_what_their_choice_rests_on(monkeypatch):
    reports = search.premises(SMOKE)
    assert (search_claims.TPE in reports) == tpe_installed()
    assert reports[search_claims.RANDOM].covered
    failing = [one.name for one in reports[search_claims.PUBLISHED].premises if not one.holds]
    assert failing == ["trials start anew", "chosen without test data"]
    monkeypatch.setattr(search_claims, "tpe_installed", lambda: False)
    assert [arm.name for arm in search.arms(SMOKE)] == [search_claims.RANDOM, search_claims.PUBLISHED]


def test_protocols_share_the_programs_of_a_place():
    programs = []
    for protocol, method in (("own start", "tpe"), ("shared model", "random")):
        config = dataclasses.replace(SMOKE, protocol=protocol, method=method, num_trials=7)
        task, steps = task_of(config, "images"), (config.train_steps, config.look_every)
        programs.append([_programs(_training_of(config, place), task, *steps) for place in ("fc1", "conv2", "")])
    assert all(one is other for one, other in zip(*programs, strict=True))
    assert len(set(map(id, programs[0]))) == 3 and len({id(begin) for begin, _ in programs[0]}) == 1


def test_the_trend_is_spearman_s_and_nan_where_there_is_none():
    losses = np.array([5.0, 1.0, np.nan, 4.0, 0.5, 3.0])
    kept, found = np.isfinite(losses), search_claims._rank_correlation(np.arange(6), losses)
    np.testing.assert_allclose(found, stats.spearmanr(np.arange(6)[kept], losses[kept]).statistic, rtol=1e-9)
    assert np.isnan(search_claims._rank_correlation(np.arange(5), np.ones(5)))
    assert np.isnan(search_claims._rank_correlation(np.arange(2), np.array([1.0, 2.0])))


@pytest.mark.slow
def test_smoke_runs_to_a_report_and_keeps_every_trial(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(search, "wmm/search", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    own, shared = (outcome.results[name] for name in (search_claims.RANDOM, search_claims.PUBLISHED))
    for name in ("p", "c", "place", "validation loss", "test accuracy"):
        assert own.final(name).shape == (1, SMOKE.num_trials)
    np.testing.assert_array_equal(own.final("c"), shared.final("c"))  # the very same cells
    number = int(own.final("chosen")[0])
    assert own.final("validation loss")[0, number] == own.final("validation loss").min()
    assert shared.final("test loss")[0, int(shared.final("chosen")[0])] == shared.final("test loss").min()
    assert outcome.measured["random: chosen, test accuracy - baseline"].shape == (SMOKE.num_seeds,)  # one a search


@pytest.mark.slow
def test_trials_of_one_shared_model_get_better_whatever_their_cells():
    """Eight trials of 40 steps at one and the same p and c: of one model the later are better, apart all are alike."""
    quick = search.PRESETS["quick"]
    config = dataclasses.replace(
        quick, num_trials=8, batch=8, block=8, search_seeds=1, fresh_seeds=1, train_steps=40, look_every=40,
        places=("fc1",), p_range=(0.0999, 0.1), c_range=(0.0999, 0.1),
    )  # fmt: skip
    task, losses = digit_task("images", split_seed=1), {}
    for protocol in ("own start", "shared model"):
        found = searched(dataclasses.replace(config, protocol=protocol), task)(jax.random.key(0), {})
        losses[protocol] = found["test loss"]
    number = np.arange(8)
    assert search_claims._rank_correlation(number, losses["shared model"]) < -0.7
    assert np.ptp(losses["own start"]) < 0.5 * (losses["shared model"][0] - losses["shared model"].min())
