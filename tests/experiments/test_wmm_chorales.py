"""Chorales: scores against scikit-learn, predictors that learn nothing, and the corpus that may not be there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from experiments.wmm import chorales, chorales_claims
from experiments.wmm.drawn_chorales import drawn_chorales
from identax.conduct import Options, run_experiment
from identax.data import windows
from identax.run import make_mesh

SMOKE = chorales.PRESETS["smoke"]


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(chorales, "wmm/chorales", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert {row.quantity for row in chorales.REFERENCES} == {row.quantity for row in outcome.comparisons}
    assert outcome.measured[f"{chorales_claims._RELEASED}: test NLL - baseline"].shape == (2,)


def test_scores_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    keys, logits = (rng.random((30, 88)) < 0.1).astype(np.uint8), rng.normal(-1, 1, (30, 88))
    found = chorales.scores(jnp.asarray(logits), jnp.asarray(keys))
    truth, said = keys.ravel(), (logits > 0).ravel()
    np.testing.assert_allclose(found["accuracy"], metrics.accuracy_score(truth, said), rtol=1e-6)
    np.testing.assert_allclose(found["F1"], metrics.f1_score(truth, said), rtol=1e-6)
    probability = 1 / (1 + np.exp(-logits.ravel()))
    np.testing.assert_allclose(found["NLL"], 88 * metrics.log_loss(truth, probability), rtol=1e-5)
    nothing = chorales.scores(jnp.full((4, 88), -1.0), jnp.zeros((4, 88), jnp.uint8))
    assert nothing["F1"] == 0 and nothing["accuracy"] == 1
    np.testing.assert_allclose(nothing["NLL"], chorales_claims._BOUND, rtol=1e-6)


def test_predictors_that_learn_nothing():
    test = windows(drawn_chorales().test, 2)
    found = chorales.build(dataclasses.replace(SMOKE, role="predictors")).trial(None, None)
    np.testing.assert_allclose(found["all zeros, accuracy"], 1 - test.targets.mean(), rtol=1e-6)
    same = (test.inputs[:, -1] == test.targets).mean()
    np.testing.assert_allclose(found["last frame, accuracy"], same, rtol=1e-6)
    assert found["all zeros, F1"] == 0 < found["last frame, F1"]


def test_drawn_chorales_have_four_voices_and_say_that_they_are_drawn():
    parts = drawn_chorales()
    assert [len(part) for part in parts] == [30, 9, 9]
    sounding = np.concatenate([roll.sum(axis=1) for part in parts for roll in part])
    assert sounding.max() == 4 and sounding.mean() > 3.5
    (real,) = chorales.premises(SMOKE)["baseline"].premises
    assert not real.holds and "drawn at random" in real.found
    (real,) = chorales.premises(chorales.PRESETS["medium"])["baseline"].premises
    assert real.holds


def test_a_corpus_that_is_not_there_names_the_command(monkeypatch, tmp_path):
    chorales.rolls.cache_clear()
    with pytest.raises(ValueError, match=r"no folder or \.mat"):
        chorales.build(dataclasses.replace(SMOKE, path=str(tmp_path / "none")))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install 'music21>=10'"):
        chorales.build(dataclasses.replace(SMOKE, path=""))
