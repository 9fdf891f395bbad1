"""One function at several scales: where alpha acts and where it cancels, rows and bands, a run to its report."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.llm import fine_tuning as experiment
from experiments.llm import fine_tuning_claims as claims
from identax.conduct import Options, run_experiment
from identax.plan import trials_of
from identax.run import Results, make_mesh
from identax.study import Trials

TINY = experiment.PRESETS["smoke"]


OUTSIDE, INSIDE = [1.0, 0.1, 10.0], [1.0, 128.0, 16384.0]


@pytest.fixture(scope="module")
def descents():
    """Of alpha in the weights and in the activation, in one program: losses [alphas, 3] on the second language after
    no, one and two steps of SGD, and what the first takes off."""
    study = experiment.build(TINY)
    trials = Trials.grid(1, learning_rate=[0.02], alpha=[*OUTSIDE, *INSIDE])
    hparams = {**trials.hparams, "inside": jnp.arange(6) >= 3}

    @jax.jit
    @jax.vmap
    def run(key, hparams):
        start = study.init(key, hparams)
        state, metrics = jax.lax.scan(lambda state, _: study.step(state, None), start, None, length=3)
        return metrics["loss"], state.opt_state[0]

    losses, decreases = (np.asarray(found) for found in run(trials.keys, hparams))
    return {"weights": (losses[:3], decreases[:3]), "activation": (losses[3:], decreases[3:])}


def test_scaled_weights_are_one_function_that_descends_differently(descents):
    losses, decreases = descents["weights"]
    assert np.ptp(losses[:, 0]) < 1e-6
    assert np.abs(losses[1:, 1] - losses[0, 1]).min() > 1e-3  # and after one step they are three
    for row, alpha in zip(decreases, OUTSIDE, strict=True):
        np.testing.assert_allclose(row, decreases[0] * [alpha**-2, alpha**2], rtol=1e-3)


def test_alpha_in_the_activation_changes_neither_function_nor_gradient(descents):
    losses, decreases = descents["activation"]
    assert losses[0, 0] - losses[0, -1] > 1e-2  # it learns
    np.testing.assert_array_equal(losses, np.broadcast_to(losses[0], losses.shape))
    np.testing.assert_array_equal(decreases, np.broadcast_to(decreases[0], decreases.shape))


def test_the_first_step_of_adam_counts_sizes_that_of_descent_squares():
    slopes = {
        "blocks_0": {
            "linear1": {"kernel": jnp.array([[-3.0, 1.0]]), "bias": jnp.array([2.0])},
            "linear2": {"kernel": jnp.array([-5.0]), "bias": jnp.array([100.0])},  # not rescaled, not counted
        }
    }
    np.testing.assert_array_equal(experiment.decreases(slopes, "SGD"), [14.0, 25.0])
    np.testing.assert_array_equal(experiment.decreases(slopes, "AdamW"), [6.0, 5.0])


def test_arms_start_where_their_own_pre_training_was_best():
    found = {arm.name: arm for arm in experiment.arms(experiment.PRESETS["medium"])}
    assert found[claims.SGD].after == claims.PRE and found[claims.RANDOM].after is None
    for name in (claims.BY_ROW + claims.ADAMW, claims.PUBLISHED):
        assert found[name].after == claims.BY_ROW + claims.PRE and found[name].config.by_row
    assert all(arm.after_state == "best" for arm in found.values() if arm.after is not None)
    before, tuned, published = (found[name].config for name in (claims.PRE, claims.ADAMW, claims.PUBLISHED))
    assert (before.phase, before.num_steps, before.learning_rate) == ("pre-training", 2000, 5e-3)
    assert (tuned.optimizer, tuned.learning_rate, tuned.epsilon) == ("AdamW", 2e-3, before.epsilon)
    assert (published.inside, published.epsilon) == (True, published.fine_epsilon)
    assert not {name for name in found if name.startswith(claims.BY_ROW)} & {
        arm.name for arm in experiment.arms(experiment.PRESETS["quick"])
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"alphas": (1.0,)},
        {"alphas": (1.0, 1.0)},
        {"alphas": (1.0, -2.0)},
        {"activation_alphas": (1.0, 0.0)},
        {"sgd_rate": -0.1},
        {"adamw_rate": float("nan")},
        {"weight_decay": float("inf")},
        {"pre_steps": 0},
        {"fine_epsilon": 0.0},
    ],
)
def test_settings_that_compare_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*wanted"):
        experiment.arms(dataclasses.replace(TINY, **wrong))


def _recorded(config):
    """Results of every arm as if it had run: fine-tuning from a loss of .5, alpha = 1 down by 1/1000 a step."""
    found = {}
    for arm in experiment.arms(config):
        own, trials = arm.config, trials_of(experiment, arm)
        steps, ends = np.arange(own.num_steps + 1), [0, own.num_steps]
        alpha = np.asarray(trials.hparams["alpha"])[:, None]
        falls = 1.0 if own.inside else 1 + np.log10(alpha)
        losses = 0.5 - 1e-3 * falls * steps + np.zeros_like(alpha)
        names = (claims.LOSS, f"loss on {claims.FIRST}")
        evaluation = dict.fromkeys(names, losses[:, ends])
        if own.phase == "fine-tuning":
            evaluation[claims.DECREASE] = np.stack([np.concatenate([alpha, 1 / alpha], 1)] * 2, axis=1)
        found[arm.name] = Results(
            trials, own.num_steps, steps[1:], {"loss": losses[:, :-1]}, np.array(ends),
            evaluation, np.zeros(len(trials), int), None, {"run": 0.0}, best_step=np.full(len(trials), own.num_steps),
        )  # fmt: skip
    return found


@pytest.mark.parametrize("preset", ["quick", "medium"])
def test_rows_that_are_judged_are_measured(preset):
    config = experiment.PRESETS[preset]
    results = _recorded(config)
    measured = experiment.measure(config, results)
    judged = {row.quantity for row in claims.REFERENCES if preset in row.bands}
    # Without the published settings their rows are not there.
    left = {row for row in judged if not row.startswith((claims.BY_ROW, claims.PUBLISHED))}
    wanted = judged if config.as_published else left
    assert wanted <= set(measured) and len(wanted) >= 12
    assert all(values.shape == (config.num_seeds,) for values in measured.values())
    np.testing.assert_allclose(measured[f"{claims.SGD}: {claims.SPREAD}"], 0.02, rtol=1e-5)
    np.testing.assert_allclose(measured[f"{claims.INSIDE}: {claims.EVER}"], 0, atol=1e-9)
    np.testing.assert_allclose(measured[claims.row_name(claims.SGD, 10.0, claims.after(10))], 0.48, rtol=1e-5)
    never = measured[claims.row_name(claims.SGD, 0.1, claims.NEARBY)]
    np.testing.assert_array_equal(never, config.num_steps + 1)


def test_figures_are_of_every_arm_that_fine_tunes():
    results = _recorded(TINY)
    some = {name: results[name] for name in (claims.PRE, claims.SGD, claims.INSIDE)}
    assert len(experiment.figures(TINY, some)) == 2


def test_premises_say_what_is_measured():
    config = experiment.PRESETS["medium"]
    measured = experiment.measure(config, _recorded(config))
    for arm, report in experiment.premises(config).items():
        for prediction in report.predictions:
            assert f"{arm}: {prediction.quantity}" in measured
    report = experiment.premises(config)[claims.ADAMW]
    assert report.prediction("first step through W2, factor, alpha = 10").value == pytest.approx(10)


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    config = dataclasses.replace(experiment.PRESETS["smoke"], as_published=True)
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(experiment, "llm/fine_tuning", "smoke", config=config, options=options)
    assert outcome.report.exists() and not outcome.lost
    before = outcome.measured[f"{claims.PRE}: {claims.LOSS}"]
    for alpha in config.alphas:
        np.testing.assert_allclose(
            outcome.measured[claims.row_name(claims.SGD, alpha, claims.after(0))], before, atol=1e-6
        )
    start = outcome.measured[claims.row_name(claims.PUBLISHED, 1.0, claims.after(0))]
    assert (np.abs(start - outcome.measured[f"{claims.BY_ROW}{claims.PRE}: {claims.LOSS}"]) > 1e-6).all()  # the norms
