"""Images with Beta factors: the published moments, correlations, and parameters that are given or drawn once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.dgp import POLYGONS, beta_images, factor_moments, polygon_sprites, scenes, sprites

ALPHA, BETA = (7.421, 2.002, 3.908, 4.421), (11.364, 5.930, 3.200, 6.492)  # of the published data, seed 1
WORLD = polygon_sprites(size=8)


@pytest.mark.slow
def test_the_published_moments(getkey, assert_mean):
    found = factor_moments(WORLD, ALPHA, BETA)
    np.testing.assert_allclose(found["mean"], [0.417, 0.339, 0.159, 0.405], atol=5e-4)
    np.testing.assert_allclose(found["std"], [0.060, 0.080, 0.0157, 0.142], atol=5e-4)
    dgp = beta_images(WORLD, alpha=ALPHA, beta=BETA)
    drawn = dgp.sample(dgp.init(getkey()), getkey(), 4000)
    assert drawn.latents.shape == (4000, 4) and drawn.observations.shape == (4000, 8, 8, 3)
    assert_mean(drawn.latents, found["mean"])
    assert_mean((np.asarray(drawn.latents) - np.asarray(found["mean"])) ** 2, np.asarray(found["std"]) ** 2)
    np.testing.assert_allclose(drawn.observations[:50], jax.vmap(WORLD.draw)(drawn.latents[:50]), atol=1e-5)


def test_parameters_are_drawn_once_or_given(getkey):
    dgp = beta_images(WORLD, alpha=[2, 2, 2, 2])
    truth = dgp.init(getkey())
    np.testing.assert_array_equal(truth["alpha"], 2)
    many = jax.vmap(dgp.init)(jax.random.split(getkey(), 500))["beta"]
    assert 2 <= many.min() < 2.2 and 14.8 < many.max() <= 15
    given = dgp.init(getkey(), beta=jnp.full(4, 3.0))
    np.testing.assert_array_equal(given["beta"], 3)
    low = dgp.sample({"alpha": jnp.full(4, 1.0), "beta": jnp.full(4, 50.0)}, getkey(), 200).latents.mean(axis=0)
    assert np.all(low < np.array([0.23, 0.23, 0.12, 0.05]))


@pytest.mark.slow
def test_factors_follow_the_copula_and_categories_stay_free(getkey):
    world = polygon_sprites(size=8, shapes=POLYGONS, angle=True)
    dgp = beta_images(world, correlation=0.7)
    drawn = np.asarray(jax.jit(lambda key: dgp.sample(dgp.init(key), key, 1000).latents)(getkey()))
    assert drawn.shape == (1000, 6) and set(np.unique(drawn[:, 5])) == {0, 1, 2}
    ranks = stats.spearmanr(drawn).statistic
    wanted = 6 / np.pi * np.arcsin(0.35)
    np.testing.assert_allclose(ranks[:5, :5][np.triu_indices(5, 1)], wanted, atol=0.13)
    np.testing.assert_allclose(ranks[5, :5], 0, atol=0.2)
    independent = beta_images(world)
    free = independent.sample(independent.init(getkey()), getkey(), 1000).latents
    assert np.abs(stats.spearmanr(free).statistic - np.eye(6)).max() < 0.2


@pytest.mark.slow
def test_other_worlds_have_beta_factors_too(getkey):
    for world, k in ((sprites(size=8), 4), (scenes(size=8), 5)):
        dgp = beta_images(world)
        truth = dgp.init(getkey())
        assert truth["alpha"].shape == (k,)
        drawn = dgp.sample(truth, getkey(), 3)
        world.grid.check(drawn.latents)


def test_what_does_not_fit_is_refused(getkey):
    for call, message in (
        (lambda: beta_images(WORLD, alpha=[1, 2, 3]), r"alpha of shape \(3,\), wanted \[4\]"),
        (lambda: beta_images(WORLD, beta=[1, 2, 0, 1]), "beta down to 0"),
        (lambda: beta_images(WORLD, correlation=1), "positive definite"),
        (lambda: beta_images(WORLD).init(getkey(), alpha=-jnp.ones(4)), "alpha down to -1"),
        (lambda: factor_moments(WORLD, [1.0], [1.0]), r"wanted \[4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
