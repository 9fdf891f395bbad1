"""Three ways to train: what each adds to the loss, the published readings, rows and bands, a run to its report."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments.llm import rule_extrapolation as experiment
from experiments.llm import rule_extrapolation_claims as claims
from experiments.llm import scaling
from experiments.llm.shared_claims import LOSS
from identax.conduct import Options, run_experiment
from identax.dgp.languages import adversarial_rows, language, oracle_rows
from identax.run import make_mesh
from identax.study import Trials

TINY = dataclasses.replace(experiment.PRESETS["smoke"], dropout=0.0)


def _gradient(config):
    """Adam's first moment after one step: a tenth of the first gradient, which a rate of 0 keeps from the weights."""
    study = experiment.build(config)
    trials = Trials.grid(1, learning_rate=[config.learning_rate], overshoot=[config.overshoot])
    hparams = jax.tree.map(lambda leaf: leaf[0], trials.hparams)

    @jax.jit
    def run(key):
        start = study.init(key, hparams)
        state, metrics = study.step(start, None)
        moved = jax.tree.map(lambda a, b: jnp.any(a != b), start.params, state.params)
        return optax.tree.get(state.opt_state, "mu"), moved, metrics

    moment, moved, metrics = run(trials.keys[0])
    assert not any(jax.tree.leaves(moved))
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(moment)]), metrics


def test_completed_prompts_change_the_gradient_and_the_mode_which_way():
    found = {}
    for arm in experiment.arms(TINY):
        found[arm.name], metrics = _gradient(arm.config)
        assert ("loss on completions" in metrics) == (arm.name != "maximum likelihood")
    for one, other in itertools.combinations(found.values(), 2):
        assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()


def test_completed_prompts_of_both_kinds_count_in_their_own_columns():
    """Side by side in one array; among the oracle's are prompts whose first taught token is their end."""
    strings = language("a^n b^n", 8)
    outside = strings.prompts(4).out_of_distribution()
    found = experiment._completed_prompts(strings, outside)
    for number, make in enumerate((oracle_rows, adversarial_rows)):
        wanted = make(strings.alphabet, outside)
        counted = np.asarray(found["counted"][number])
        assert (counted.sum(axis=1) == wanted.shape[1] - 1).all()
        rows = np.asarray(found["rows"][number])
        np.testing.assert_array_equal(rows[:, 1:][counted].reshape(len(wanted), -1), wanted[:, 1:])
    assert set(np.unique(found["rows"][0][:, 5])) == {*strings.alphabet.symbols, strings.alphabet.eos}


@pytest.mark.parametrize("paper", [experiment, scaling])
def test_another_language_is_learned_if_equal_counts_are_its_first_rule(paper):
    """a^n b^n c^n: of 27 prompts of three symbols 24 are off the support; prompts and rows have its tokens."""
    config = dataclasses.replace(paper.PRESETS["smoke"], language="L5", max_length=9)
    report = next(iter(paper.premises(config).values()))
    assert report.premise("prompts off the support").found.startswith("24 of 24")
    study = paper.build(paper.arms(config)[1].config)
    trials = Trials.grid(1, **{field: getattr(config, field) for field in paper.TRACED})
    state = jax.eval_shape(study.init, trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams))
    tokens = language("L5", 9).alphabet.size
    assert {leaf.shape[0] for leaf in jax.tree.leaves(state.params["ends"]["embedding"])} == {tokens}
    state, metrics = jax.eval_shape(study.step, state, None)
    assert metrics["loss"].shape == () and "OOD rule1" in jax.eval_shape(study.evaluate, state, trials.keys[0])
    for wrong, message in {
        "L1": "found the language 'L1' with rule 1",
        "L6": "wanted equal counts",
        "L7": "'L7'",
    }.items():
        with pytest.raises(ValueError, match=message):
            paper.premises(dataclasses.replace(config, language=wrong))


def test_floors_of_the_bands_are_those_of_the_languages():
    for preset, floor in claims.FLOORS.items():
        config = experiment.PRESETS[preset]
        np.testing.assert_allclose(language("a^n b^n", config.max_length).entropy_floor(), floor, atol=1e-6)


def test_rank_correlation_counts_the_orders():
    x = np.arange(6.0)
    assert claims.rank_correlation(x, x) == pytest.approx((1.0, 2 / 720))
    correlation, p = claims.rank_correlation([1, 2, 3, 4], [2, 1, 4, 3])
    assert correlation == pytest.approx(0.6) and p > 0.3
    assert np.isnan(claims.rank_correlation([1, 1, 1], [1, 2, 3])).all()


def test_standard_errors_apart_are_those_of_welch():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1, 1, 7), rng.normal(0, 2, 4)
    found = claims.standard_errors_apart(ours, theirs.mean(), theirs.std(ddof=1), 4)
    np.testing.assert_allclose(found, stats.ttest_ind(ours, theirs, equal_var=False).statistic)
    assert claims.standard_errors_apart([0.75] * 3, 0.75, 0.0, 4) == [0.0]
    assert claims.standard_errors_apart([0.5] * 3, 0.75, 0.0, 4) == [-np.inf]


def test_rows_that_are_judged_are_measured():
    """Names alone: judged rows are made from modes, scores and the correlation."""
    judged = {row.quantity for row in claims.REFERENCES if "quick" in row.bands}
    scores = {f"{mode}: {name}" for mode in claims.MODES for name in (LOSS, *claims.SCORES)}
    scores |= {f"{mode}: {LOSS} less that of {claims.MODES[0]}" for mode in claims.MODES[1:]}
    scores |= {"p-value of a rank correlation of loss and rule 1 over seeds"}
    assert judged <= scores and len(judged) >= 12


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(experiment, "llm/rule_extrapolation", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for mode in claims.MODES:
        assert outcome.measured[f"{mode}: test loss"].shape == (2,)


@pytest.mark.slow
def test_as_published_runs_too():
    config = dataclasses.replace(TINY, as_published=True)
    arm = {arm.name: arm for arm in experiment.arms(config)}[f"{claims.PUBLISHED}oracle"]
    study = experiment.build(arm.config)
    trials = Trials.grid(1, learning_rate=[config.learning_rate], overshoot=[config.overshoot])
    state = study.init(trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams))
    found = study.evaluate(study.step(state, None)[0], jax.random.key(0))
    assert all(np.isfinite(value) for value in found.values())
