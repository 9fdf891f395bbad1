"""Baselines of linear systems: what must be exact is, what must not identify does not, packages may be missing."""

import dataclasses
import importlib.util
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import registry
from experiments.lti import baselines, baselines_claims, baselines_methods, worlds
from identax import plan
from identax.conduct import run_experiment
from identax.lti import markov_parameters
from identax.lti.closed_form import innovation_regression
from identax.lti.moments import pair_moments
from identax.metrics import mcc, relative_error
from identax.rng import stream
from identax.run import run

DIM = 3
CONFIG = baselines.Config(dim=DIM, num_samples=1000, num_seeds=2, n4sid_samples=200, block_rows=3)
needs_nfoursid = pytest.mark.skipif(not baselines_methods.installed("N4SID"), reason="needs nfoursid")
needs_coroica = pytest.mark.skipif(not baselines_methods.installed("coroICA"), reason="needs coroica")
quiet = pytest.mark.filterwarnings("default")  # of the optional packages


@pytest.fixture(scope="module")
def draw():
    """seed, zero means -> a world without noise."""
    with jax.enable_x64(True):
        drawn = jax.jit(lambda key, hparams: worlds.draw_world(key, CONFIG, hparams))

        def of(seed, zero_means=1.0):
            return drawn(jax.random.key(seed), {"use_B": 1.0, "use_C": 1.0, "zero_means": zero_means, "noise": 0.0})

        yield of


def test_oracle_is_exact_without_noise(draw):
    for zero_means in (0.0, 1.0):
        world = draw(0, zero_means)
        unmixing = baselines_methods.oracle_unmixing(world)
        assert relative_error(unmixing, worlds.true_unmixing(world.system)) < 1e-9


@pytest.mark.slow
def test_all_pooled_maximisers_are_equally_likely_and_none_is_the_truth(draw):
    world = draw(1)
    fit_pooled = jax.jit(baselines_methods.pooled_fit)
    fits = [fit_pooled(jax.random.key(seed), world) for seed in range(4)]
    residual = innovation_regression(pair_moments(world.pairs.reshape(1, -1, 2, DIM))).covariance[0]
    best = -0.5 * (DIM * np.log(2 * np.pi * np.e) + np.linalg.slogdet(np.asarray(residual))[1])
    found = []
    for fit in fits:
        np.testing.assert_allclose(fit.loglik, best, atol=1e-8)
        z = world.pairs.reshape(-1, 2 * DIM)
        found.append(z @ fit.unmixing.T)
    for one, other in itertools.combinations(fits, 2):
        turn = one.unmixing[:, DIM:] @ np.linalg.inv(other.unmixing[:, DIM:])
        np.testing.assert_allclose(turn @ turn.T, np.eye(DIM), atol=1e-4)
    scores = [float(mcc(world.controls.reshape(-1, DIM), one)) for one in found]
    assert max(scores) < 0.97 and np.ptp(scores) > 0.03


@pytest.mark.slow
def test_level_of_all_maximisers_is_that_of_a_rotation_for_equal_means_only(draw):
    found = baselines.build(dataclasses.replace(CONFIG, method=baselines_claims.LEVELS))(jax.random.key(1), {})
    level, sd = found["random rotation, MCC"], found["random rotation, sd of MCC"]
    assert 0.8 < level < 0.86 and 0 < sd < 0.15
    same = [baselines_methods.maximisers_mcc(jax.random.key(9), draw(seed, 1.0)) for seed in range(3)]
    other = [baselines_methods.maximisers_mcc(jax.random.key(9), draw(seed, 0.0)) for seed in range(3)]
    assert np.allclose(same, level, atol=0.03)
    assert max(other) < min(same)


@pytest.mark.slow
def test_packages_that_are_missing_are_left_out_and_named(monkeypatch):
    real = importlib.util.find_spec
    missing = set(baselines_methods.PACKAGES.values())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in missing else real(name, *a))
    outcome = run_experiment(baselines, "lti/baselines", "smoke")
    assert not any(method in name for name in outcome.measured for method in ("N4SID", "coroICA"))
    assert {"d 2, mean: conditional, MCC", "d 2, zero mean: pooled, MCC"} <= outcome.measured.keys()
    report = baselines.premises(baselines.PRESETS["smoke"])["d 2"]()
    text = "\n".join(report.lines())
    assert report.covered and text.count("not installed") == 2 and "pip install -e .[baselines]" in text
    for name, values in outcome.measured.items():
        assert "smallest" in name or np.isfinite(values).all(), name
    names = {reference.quantity for reference in baselines.REFERENCES}
    assert {name for name in names if name.startswith("d 2, mean") and "ICA" not in name and "N4SID" not in name} <= (
        outcome.measured.keys()
    )


@pytest.mark.slow
def test_host_methods_see_the_world_of_the_compiled_trial(monkeypatch, x64):
    seen = []

    def observed(key, world, config):
        seen.append((jax.random.key_data(key), np.asarray(world.pairs)))
        return {"MCC": 0.5}

    monkeypatch.setitem(baselines_methods.ON_HOST, baselines_methods.MAXIMISERS, observed)
    together, *others = baselines.arms(dataclasses.replace(baselines.PRESETS["smoke"], seed=7))
    arm = next(arm for arm in others if arm.config.method == baselines_methods.MAXIMISERS)
    trials = [plan.trials_of(baselines, one) for one in (together, arm)]
    run(baselines.build(arm.config), trials[1], num_steps=0, progress=False)
    expected = jax.jit(jax.vmap(lambda key, hparams: worlds.draw_world(key, together.config, hparams).pairs))(
        trials[0].keys, trials[0].hparams
    )
    np.testing.assert_array_equal([key for key, _ in seen], jax.random.key_data(trials[0].keys))
    np.testing.assert_allclose(np.stack([pairs for _, pairs in seen]), expected, rtol=1e-9, atol=1e-9)
    assert len({float(pairs[0, 5, 0, 0]) for _, pairs in seen}) == len(trials[0])


def test_a_fit_that_fails_is_a_result_and_ends_nothing():
    def fails():
        raise np.linalg.LinAlgError("singular")

    names = (*baselines_methods.QUANTITIES, "error of H, inputs known")
    found = baselines_methods.scores_or_nan("N4SID", fails)
    assert tuple(found) == names and np.isnan(list(found.values())).all()
    found = baselines_methods.scores_or_nan("Kalman", lambda: {"MCC": 0.5, "batch MCC": 0.4})
    assert found["MCC"] == 0.5 and np.isnan(found["error of F"]) and "batch MCC" not in found


def test_noisy_sizes_have_an_arm_of_their_own():
    config = registry.load("lti/baselines").PRESETS["medium"]
    arms = {arm.name: arm.config for arm in baselines.arms(config)}
    names = [name for name, one in arms.items() if one.method == baselines_claims.COMPILED]
    assert names == ["d 2", "d 2, noise", "d 3", "d 3, noise", "d 5"]
    assert arms["d 2, noise, Kalman"].num_seeds == config.kalman_systems < config.num_seeds
    assert {"d 2, Kalman", "d 5, noise, Kalman"}.isdisjoint(arms)
    assert baselines.PRESETS["quick"].kalman_systems == 0


@quiet
@needs_nfoursid
def test_n4sid_is_exact_without_noise(draw):
    world = draw(2)
    A, B, C, D = baselines_methods.n4sid(world, CONFIG.n4sid_samples, CONFIG.block_rows)
    found = markov_parameters(jnp.asarray(A), jnp.asarray(B), jnp.asarray(C), 4)
    true = markov_parameters(world.system.A, world.system.B, world.system.C, 4)
    np.testing.assert_allclose(found, true, atol=1e-8 * np.abs(true).max())
    np.testing.assert_allclose(D, 0, atol=1e-8 * np.abs(true).max())
    scores = baselines_methods.n4sid_scores(world, CONFIG.n4sid_samples, CONFIG.block_rows)
    assert scores["error of H, inputs known"] < 1e-8 and scores["MCC"] > 1 - 1e-9


@quiet
@needs_coroica
@pytest.mark.parametrize("zero_means", [0.0, 1.0])
def test_coroica_identifies_on_residuals_and_not_on_observations(draw, zero_means):
    world = draw(3, zero_means)
    scores = {
        of: baselines_methods._scores(world, baselines_methods.coroica_unmixing(world, of_residuals=of))
        for of in (True, False)
    }
    assert scores[True]["MCC"] > 0.97 > scores[False]["MCC"] + 0.1


@pytest.mark.slow
def test_kalman_fits_without_labels_end_in_a_rotation():
    """With noise: the labelled fit finds the system, the pooled one the same noise but a rotated gain."""
    config = baselines.Config(dim=2, num_samples=600, num_seeds=1)
    with jax.enable_x64(True):
        key = jax.random.key(4)
        hparams = {"use_B": 0.0, "use_C": 0.0, "zero_means": 1.0, "noise": 1e-8}
        world = worlds.draw_world(key, config, hparams)
        labelled = baselines_methods.kalman_scores(world)
        pooled = [baselines_methods.pooled_kalman_scores(stream(key, name), world) for name in ("a", "b", "c")]
    assert labelled["MCC"] > 0.98
    assert all(one["error of F"] < 0.2 for one in pooled)
    assert np.ptp([one["MCC"] for one in pooled]) > 0.02
