"""The plasticity experiments: blocks are single updates one after the other, operators act when they should."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.wmm import permuted_digits, plasticity, slow_regression, slow_regression_claims, warm_start
from experiments.wmm.networks import relu_network
from experiments.wmm.small_digits import pooled
from identax.conduct import Options, run_experiment
from identax.dgp import slow_regression as regression
from identax.rng import stream
from identax.run import make_mesh
from identax.transforms import dormancy

SMOKE = slow_regression.PRESETS["smoke"]
KEY = jax.random.key(2)
HPARAMS = {name: getattr(SMOKE, name) for name in slow_regression.TRACED}


def first_step(operator, **changes):
    """State before and after the first block, of a config and its traced values."""
    config = dataclasses.replace(SMOKE, operator=operator, **changes)
    study = slow_regression.build(config)
    hparams = {name: jnp.asarray(getattr(config, name), float) for name in slow_regression.TRACED}
    start = study.init(KEY, hparams)
    after, metrics = jax.jit(study.step)(start, None)
    return config, start, after, metrics


def test_a_block_is_one_update_after_each_example():
    """Against NumPy in float64: 20 examples, forward and backward by hand."""
    config, start, after, metrics = first_step(plasticity.BACKPROP)
    x, y = regression().sample(start.truth, stream(KEY, "data"), 0, config.block)
    w, b, v, c = (np.asarray(start.params[layer][kind], float) for layer, kind in (
        ("layer1", "kernel"), ("layer1", "bias"), ("output", "kernel"), ("output", "bias"),
    ))  # fmt: skip
    errors = []
    for at, target in zip(np.asarray(x, float), np.asarray(y, float), strict=True):
        h = np.maximum(at @ w + b, 0)
        gap = (h @ v + c)[0] - target
        errors.append(gap**2)
        back = 2 * gap * v[:, 0] * (h > 0)
        w, b = w - config.step_size * np.outer(at, back), b - config.step_size * back
        v, c = v - config.step_size * 2 * gap * h[:, None], c - config.step_size * 2 * gap
    for layer, kind, wanted in (("layer1", "kernel", w), ("layer1", "bias", b), ("output", "kernel", v)):
        np.testing.assert_allclose(after.params[layer][kind], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(errors), rtol=1e-4)


@pytest.mark.slow
def test_redo_between_blocks_takes_the_units_that_the_last_examples_leave_silent():
    config, start, plain, _ = first_step(plasticity.BACKPROP)
    tau = 0.9
    _, _, after, _ = first_step(plasticity.REDO, every=SMOKE.block, tau=tau)
    x, _ = regression().sample(start.truth, stream(KEY, "data"), 0, config.block)
    hidden = relu_network((20, config.width, 1)).apply(plain.params, x[-config.statistics :])[1]["layer1"]
    dormant = np.asarray(dormancy(hidden)) <= tau
    assert 0 < dormant.sum() < config.width
    moved = np.asarray(after.params["layer1"]["kernel"] != plain.params["layer1"]["kernel"]).all(axis=0)
    np.testing.assert_array_equal(moved, dormant)
    np.testing.assert_array_equal(np.asarray(after.params["output"]["kernel"])[:, 0] == 0, dormant)


@pytest.mark.slow
@pytest.mark.parametrize("operator", plasticity.OPERATORS[1:])
def test_every_operator_changes_what_descent_does_and_not_at_strength_zero(operator):
    every = SMOKE.block if operator in slow_regression_claims.BETWEEN_BLOCKS else 1
    # A rate at which units are due within a block, dormancy below which some are.
    strong = {"rate": 0.1, "maturity": 0, "tau": 0.9, "share": 0.5, "p": 1.0, "sigma": 0.1}
    off = {"rate": 0.0, "tau": 0.0, "share": 0.0, "p": 0.0, "sigma": 0.0, "weight_decay": 0.0}
    plain = first_step(plasticity.BACKPROP)[2].params
    with_it, without = (first_step(operator, every=every, **strength)[2].params for strength in (strong, off))
    same = [bool((one == other).all()) for one, other in zip(*map(jax.tree.leaves, (plain, with_it)), strict=True)]
    assert not all(same)
    # ReDo and SWR take what is exactly dead even at 0.
    if operator not in (plasticity.REDO, plasticity.SWR):
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), plain, without)


def test_operators_that_need_every_update_are_refused_in_between():
    with pytest.raises(ValueError, match="found every=30, wanted 1 or a multiple of 20"):
        slow_regression.build(dataclasses.replace(SMOKE, every=30))
    with pytest.raises(ValueError, match="found continual backprop every 2 updates"):
        plasticity.perturbation_of(plasticity.CBP, HPARAMS, (), c=0.1, maturity=1, mode="intended", every=2)
    with pytest.raises(ValueError, match="found operator 'noise'"):
        plasticity.perturbation_of("noise", HPARAMS, (), c=0.1, maturity=1, mode="intended", every=1)


def test_pixels_are_pooled_to_their_means():
    images = np.random.default_rng(0).random((3, 28, 28), np.float32)
    found = pooled(images, 4)
    assert found.shape == (3, 49)
    np.testing.assert_allclose(found[1, 8], images[1, 4:8, 4:8].mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="found factor=3 for images of side 28"):
        pooled(images, 3)


def test_a_network_has_a_hidden_layer():
    with pytest.raises(ValueError, match=r"found widths \(3, 1\)"):
        relu_network((3, 1))


def test_tasks_permute_pixels_and_leave_the_images():
    study = permuted_digits.build(permuted_digits.PRESETS["smoke"])
    state = study.init(KEY, {name: jnp.asarray(0.01) for name in permuted_digits.TRACED})
    (step, change), steps = study.events[0], permuted_digits.STEPS
    assert step == steps and len(study.events) == 1
    other = change(state, jax.random.key(9))
    for name, size in (("pixels", 49), ("order", 5000)):
        assert sorted(np.asarray(other.truth[name])) == list(range(size))
        assert (np.asarray(other.truth[name]) != np.asarray(state.truth[name])).mean() > 0.9
    # 167 batches of 30 see every image once, and the first ten twice.
    rows = jax.vmap(lambda step: permuted_digits.batch_rows(state.truth["order"], step, 30))(jnp.arange(2 * steps))
    for task in np.asarray(rows).reshape(2, -1):
        assert np.bincount(task, minlength=5000).min() == 1 and (np.bincount(task) == 2).sum() == 10
    with pytest.raises(ValueError, match="found batch_size=60, wanted 30"):
        permuted_digits.build(dataclasses.replace(permuted_digits.PRESETS["smoke"], batch_size=60))


@pytest.mark.slow
def test_dash_and_shrink_and_perturb_without_strength_are_a_warm_start():
    config = warm_start.PRESETS["smoke"]
    first = warm_start.build(dataclasses.replace(config, phase="half", start="cold"))
    neutral = {"step_size": 0.02, "shrink": 1.0, "sigma": 0.0, "floor": 1.0}
    acting = {"step_size": 0.02, "shrink": 0.3, "sigma": 0.01, "floor": 0.3}
    before = first.init(KEY, neutral)
    moved = {}
    for start in ("warm", "shrink and perturb", "DASH"):
        study = warm_start.build(dataclasses.replace(config, start=start))
        for name, hparams in (("neutral", neutral), ("acting", acting)):
            params = jax.jit(study.init)(KEY, hparams, before).params
            apart = jax.tree.map(lambda one, other: float(jnp.abs(one - other).max()), params, before.params)
            moved[start, name] = max(jax.tree.leaves(apart))
    assert moved["warm", "acting"] == moved["warm", "neutral"] == moved["DASH", "neutral"] == 0
    assert moved["shrink and perturb", "neutral"] == 0
    assert moved["shrink and perturb", "acting"] > 0.01 and moved["DASH", "acting"] > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("module", [slow_regression, permuted_digits, warm_start])
def test_smoke_presets_run_to_a_report(module, tmp_path):
    name = f"wmm/{module.__name__.split('.')[-1]}"
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report is not None and outcome.report.exists() and not outcome.lost
    known = {row.quantity for row in module.REFERENCES}
    assert known & outcome.measured.keys()
