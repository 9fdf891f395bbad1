"""The experiment on real images, a few steps of it: whether it reproduces the paper, the presets measure."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from experiments.aninfonce import images
from experiments.aninfonce.images_readout import Labelled, held_out_r2, readouts
from identax.conduct import Options, run_experiment
from identax.data import image_source
from identax.losses import aninfonce, infonce
from identax.models import normalize
from identax.run import make_mesh

SMOKE = images.PRESETS["smoke"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    options = Options(workdir=tmp_path_factory.mktemp("run"), mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    return run_experiment(images, "aninfonce/images", "smoke", options=options)


@pytest.mark.slow
def test_every_reference_is_measured_once_per_seed(outcome):
    wanted = [reference.quantity for reference in images.REFERENCES if "0.1" not in reference.quantity]
    assert [row.quantity for row in outcome.comparisons] == wanted
    assert all(row.n == SMOKE.num_seeds and np.isfinite(row.mean) for row in outcome.comparisons)
    assert outcome.report.exists()
    assert len(list((outcome.report.parent / "figures").iterdir())) == 6


@pytest.mark.slow
def test_gaps_are_taken_seed_by_seed(outcome):
    for name in ("augmentations after", "augmentations R2 before", "classes before"):
        gap = outcome.measured[f"aninfonce: {name}"] - outcome.measured[f"infonce: {name}"]
        np.testing.assert_allclose(outcome.measured[f"{name}, AnInfoNCE above InfoNCE"], gap)


@pytest.mark.slow
def test_arms_start_alike_and_only_aninfonce_learns_the_precision(outcome):
    results = outcome.results
    for name, values in results["aninfonce"].evaluation.items():
        np.testing.assert_array_equal(values[:, 0], results["infonce"].evaluation[name][:, 0], err_msg=name)
    np.testing.assert_allclose(results["infonce"].final("precision"), 1 / SMOKE.temperature, rtol=1e-6)
    assert (np.abs(np.asarray(results["aninfonce"].final("precision")) - SMOKE.precision_start) > 1e-4).all()
    assert (results["aninfonce"].train["loss"][:, 0] == results["infonce"].train["loss"][:, 0]).all()


@pytest.mark.slow
def test_means_are_over_the_parameters_that_digits_have(outcome):
    names = ["brightness", "contrast", "crop_aspect", "crop_scale", "crop_x", "crop_y", "blur_sigma"]
    single = [outcome.measured[f"infonce: {name} after"] for name in names]
    np.testing.assert_allclose(np.mean(single, axis=0), outcome.measured["infonce: augmentations after"], rtol=1e-5)


def test_a_fixed_equal_precision_is_infonce_on_the_sphere(x64, getkey):
    z, z_pos = (normalize(jax.random.normal(getkey(), (6, 4))) for _ in range(2))
    np.testing.assert_allclose(
        aninfonce(z, z_pos, jnp.full(4, 1 / 0.3)), infonce(z, z_pos, temperature=0.3), rtol=1e-12
    )


def test_ridge_on_held_out_samples_agrees_with_scikit_learn(x64, getkey):
    x, noise = jax.random.normal(getkey(), (300, 6)), jax.random.normal(getkey(), (300, 2))
    x = x.at[:, 5].set(3.0)  # a constant dim
    y = 2 + x[:, :2] @ jnp.array([[1.0, 0.5], [2.0, -1.0]]) + noise
    found = held_out_r2(x[:200], y[:200], x[200:], y[200:], l2=0.1)
    x, y = np.array(x), np.array(y)
    mean, scale = x[:200].mean(axis=0), x[:200].std(axis=0)
    scale[5] = np.inf
    standard = [(part - mean) / scale for part in (x[:200], x[200:])]
    # scikit-learn adds alpha to the sum of squares; targets are standardised, which leaves R^2 as it is
    model = Ridge(alpha=0.1 * 200).fit(standard[0], y[:200])
    wanted = r2_score(y[200:], model.predict(standard[1]), multioutput="raw_values")
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.slow
def test_readouts_find_what_features_hold_and_nothing_else(getkey):
    """One layer holds the brightness that was drawn, the other only the class."""

    def augment(key, x):
        drawn = {name: jax.random.uniform(jax.random.fold_in(key, i), x.shape[:1]) for i, name in enumerate("ab")}
        on = jax.random.bernoulli(jax.random.fold_in(key, 2), 0.3, x.shape[:1])
        return x.at[:, 0, 0, 0].set(drawn["a"]).at[:, 0, 1, 0].set(on), drawn | {"on": on}

    labels = jnp.arange(400) % 3
    pictures = jnp.zeros((400, 2, 2, 1)).at[:, 1, 1, 0].set(labels / 3)

    def features(x):
        return {"all": x.reshape(len(x), -1), "class": jax.nn.one_hot(jnp.round(3 * x[:, 1, 1, 0]).astype(int), 3)}

    parts = [Labelled(pictures[index], labels[index]) for index in (slice(300), slice(300, None))]
    found = jax.jit(lambda key: readouts(features, augment, key, *parts, num_classes=3, chunk=50, l2=1e-4))(getkey())
    assert found["classes class"] == 1 and found["on all"] == 1 and found["a all"] > 0.97
    assert found["a R2 all"] > 0.99 and abs(found["b R2 all"]) < 0.1
    assert abs(found["a class"] - 0.5) < 0.2 and abs(found["b all"] - 0.5) < 0.2  # 4 sd of 100 guesses
    np.testing.assert_allclose(found["augmentations all"], (found["a all"] + found["b all"] + 1) / 3, rtol=1e-6)
    assert 0.5 <= found["chance"] < 0.7


def test_other_data_sets_come_from_a_loader(monkeypatch):
    assert images.batches(SMOKE, (0, 1)) is None
    monkeypatch.setattr(images, "image_source", lambda name, split: image_source("digits", split))
    config = dataclasses.replace(SMOKE, data_set="mnist", own_style=False)
    batch = next(images.batches(config, (0, 2)))
    assert batch["image"].shape == (SMOKE.batch_size // 2, 28, 28, 1) and batch["image"].dtype == np.uint8
    study = images.build(config)
    hparams = {name: jnp.array(getattr(config, name)) for name in images.TRACED}
    state = jax.eval_shape(study.init, jax.random.key(0), hparams)
    new, metrics = jax.eval_shape(study.step, state, batch)
    assert metrics["loss"].shape == () and jax.tree.structure(new) == jax.tree.structure(state)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "resnet18", "width": 2, "remat": True, "optimizer": "sgd", "micro_batch": 4},
        {"compute": "bfloat16"},
    ],
)
def test_other_encoders_and_precisions_fit_together(change):
    config = dataclasses.replace(SMOKE, **change)
    study = images.build(config)
    state = jax.eval_shape(study.init, jax.random.key(0), {name: jnp.array(1.0) for name in images.TRACED})
    new, _ = jax.eval_shape(study.step, state, None)
    assert jax.tree.map(lambda leaf: leaf.dtype, new) == jax.tree.map(lambda leaf: leaf.dtype, state)


def test_bad_input():
    with pytest.raises(ValueError, match="found 5000 images for a readout, wanted 1 to 4000 of digits"):
        images.build(dataclasses.replace(SMOKE, num_fit=5000))
    with pytest.raises(ValueError, match="own_style with data_set='cifar10'"):
        images.build(dataclasses.replace(SMOKE, data_set="cifar10"))
    with pytest.raises(ValueError, match="wanted a multiple of chunk"):
        images.build(dataclasses.replace(SMOKE, num_fit=65))


def test_premises_tell_the_losses_apart():
    reports = images.premises(SMOKE)
    assert reports["aninfonce"].covered and not reports["infonce"].covered


def test_presets_are_honest_about_their_size():
    assert set(images.PRESETS) == {"smoke", "quick", "medium", "paper"}
    for name, config in images.PRESETS.items():
        assert config.evaluate_every % config.log_every == config.checkpoint_every % config.log_every == 0, name
        assert config.num_steps % config.evaluate_every == 0, name
    paper = images.PRESETS["paper"]
    assert (paper.data_set, paper.encoder) == ("cifar10", "resnet18")
    assert paper.learning_rate == 0.03 * paper.batch_size / 256
    assert paper.num_steps == 800 * (50_000 // paper.batch_size)
    assert {arm.name for arm in images.arms(SMOKE)} == {"aninfonce", "infonce", "views"}
    assert images.arms(images.PRESETS["medium"])[2].name == "infonce 0.1"
    statics = {dataclasses.replace(arm.config, **dict.fromkeys(images.TRACED, 0.0)) for arm in images.arms(SMOKE)}
    assert len(statics) == 2  # one program for all arms but the one that draws views
