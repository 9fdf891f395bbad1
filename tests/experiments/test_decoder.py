"""The digits experiment end to end, a few steps of it: whether it reproduces the paper, the presets measure."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.aninfonce import decoder
from identax.conduct import Options, run_experiment
from identax.run import make_mesh

SMOKE = decoder.PRESETS["smoke"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    options = Options(workdir=tmp_path_factory.mktemp("run"), mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    return run_experiment(decoder, "aninfonce/decoder", "smoke", options=options)


@pytest.mark.slow
def test_every_reference_is_measured_once_per_seed(outcome):
    assert [row.quantity for row in outcome.comparisons] == [reference.quantity for reference in decoder.REFERENCES]
    assert all(row.n == SMOKE.num_seeds and np.isfinite(row.mean) for row in outcome.comparisons)


@pytest.mark.slow
def test_the_gap_is_taken_seed_by_seed(outcome):
    measured = outcome.measured
    gap = measured["aninfonce: style R2"] - measured["infonce: style R2"]
    np.testing.assert_allclose(measured["style R2, AnInfoNCE above InfoNCE"], gap)


@pytest.mark.slow
def test_arms_start_from_the_same_encoder_in_the_same_world(outcome):
    starts = [outcome.results[arm].evaluation["style R2"][:, 0] for arm in ("aninfonce", "infonce", "supervised")]
    np.testing.assert_allclose(starts[1], starts[0], rtol=1e-5)
    np.testing.assert_allclose(starts[2], starts[0], rtol=1e-5)


@pytest.mark.slow
def test_contrastive_losses_start_near_their_collapsed_value(outcome):
    for arm in ("aninfonce", "infonce"):
        first = outcome.results[arm].train["loss"][:, 0]
        assert (abs(first - np.log(2 * SMOKE.batch_size - 1)) < 0.3).all()


@pytest.mark.slow
def test_report_shows_the_world(outcome):
    assert outcome.report.exists()
    folder = outcome.report.parent
    assert len(list((folder / "figures").iterdir())) == 4
    assert json.loads((folder / "summary.json").read_text())["failed_at"]["pixels"] == [0, 0]


@pytest.mark.slow
def test_all_seeds_see_the_one_generator(outcome):
    pairs = outcome.results["aninfonce"].kept("pairs")
    assert pairs.shape == (SMOKE.num_seeds, 2, 12, 28 * 28) and pairs.min() > 0 and pairs.max() < 1
    weights = [jax.tree.leaves(outcome.results[arm].state.truth["mixing"]) for arm in ("aninfonce", "infonce")]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one[0], one[1])
    assert len(outcome.results["generator"].trials) == 1


@pytest.mark.slow
def test_pixels_are_read_out_as_least_squares_would():
    config = dataclasses.replace(SMOKE, objective="pixels", num_evaluate=2048)
    hparams = {"high": 25.0, "low": 5.0}
    generator = decoder.build(dataclasses.replace(config, objective="generator", num_steps=8)).init(
        jax.random.key(0), {"learning_rate": 1e-3}
    )
    found = jax.jit(decoder.build(config))(jax.random.key(3), hparams, generator)
    world = decoder.world(config)
    truth = decoder._truth(config, world, jax.random.key(0), hparams, generator)
    samples = [world.sample(truth, jax.random.key(number), 2048) for number in (1, 2)]
    (x, z), (x_new, z_new) = ((np.asarray(s.observations[0]), np.asarray(s.latents[0])) for s in samples)
    mean = x.mean(axis=0)
    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:4].T
    design, design_new = ((part - mean) @ axes for part in (x, x_new))
    weights = np.linalg.lstsq(design, z - z.mean(axis=0), rcond=None)[0]
    residual = z_new - z.mean(axis=0) - design_new @ weights
    r2 = 1 - (residual**2).sum(axis=0) / ((z_new - z_new.mean(axis=0)) ** 2).sum(axis=0)
    # Other draws of the same world: equal up to sampling error.
    np.testing.assert_allclose(found["content R2 of principal components"], r2[:2].mean(), atol=0.05)
    np.testing.assert_allclose(found["style R2 of principal components"], r2[2:].mean(), atol=0.05)
    assert found["R2"] >= found["R2 of principal components"] - 0.01


@pytest.mark.slow
def test_premises_tell_the_losses_apart():
    reports = decoder.premises(decoder.PRESETS["quick"])
    assert reports["aninfonce"].covered and not reports["infonce"].covered
    assert reports["infonce"].prediction("dropped latents").value == 5


def test_presets_are_honest_about_their_size():
    assert set(decoder.PRESETS) == {"smoke", "quick", "medium", "paper"}
    for name, config in decoder.PRESETS.items():
        assert config.evaluate_every % config.log_every == config.checkpoint_every % config.log_every == 0, name
    assert decoder.PRESETS["paper"].source == "mnist"
    assert {arm.name for arm in decoder.arms(SMOKE)} == {
        "generator", "aninfonce", "infonce", "supervised", "pixels"
    }  # fmt: skip
