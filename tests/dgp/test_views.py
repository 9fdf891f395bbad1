"""Explicit negatives and several positives per anchor: each follows the law it is drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import (
    ShellProjectedNormal,
    Sphere,
    anisotropic_pairs,
    ensemble_pairs,
    identity,
    pairs_with_negatives,
    random_invertible_mlp,
)

LAMBDA, HARD = (30.0, 20.0, 10.0), (20.0, 2.0, 8.0)
NUM = 4000


def _products(z, other):
    return np.asarray(z) * np.asarray(other)


@pytest.mark.slow
def test_negatives_scatter_around_their_own_anchor(assert_mean):
    dgp = pairs_with_negatives(3, mixing=identity(), num_negatives=5, precision=LAMBDA, negative_precision=HARD)
    truth = dgp.init(jax.random.key(0))
    z, z_pos, z_neg = jax.jit(dgp.sample, static_argnums=2)(truth, jax.random.key(1), NUM).latents
    assert z_neg.shape == (NUM, 5, 3)
    np.testing.assert_allclose(jnp.linalg.norm(z_neg, axis=-1), 1, rtol=1e-5)
    # the same law as that of a positive with this precision, for an anchor each
    fresh = Sphere(3).uniform(jax.random.key(2), 100_000)
    for drawn, precision in ((z_pos, LAMBDA), (z_neg[:, 0], HARD), (z_neg[:, 4], HARD)):
        reference = ShellProjectedNormal(jnp.array(precision)).sample(jax.random.key(3), fresh, Sphere(3))
        expected = _products(fresh, reference).mean(axis=0)
        assert_mean(_products(z, drawn), expected, sigmas=6.5)
    # negatives of one anchor are independent given it: their deviations do not correlate
    moved = np.asarray(z_neg - z[:, None])
    moved = moved - moved.mean(axis=0)
    centred = moved - moved.mean(axis=1, keepdims=True)
    assert abs(np.corrcoef(centred[:, 0, 1], centred[:, 1, 1])[0, 1] + 0.25) < 0.06  # -1/(M - 1) after centring


@pytest.mark.slow
def test_uniform_negatives_know_nothing_of_the_anchor(assert_mean):
    dgp = pairs_with_negatives(3, mixing=identity(), num_negatives=2, negatives="uniform", precision=LAMBDA)
    truth = dgp.init(jax.random.key(0))
    assert set(truth) == {"mixing", "precision"}
    z, _, z_neg = dgp.sample(truth, jax.random.key(1), NUM).latents
    assert_mean(_products(z, z_neg[:, 0]), np.zeros(3))
    assert_mean(np.asarray(z_neg[:, 1]) ** 2, np.full(3, 1 / 3))


def test_hard_negatives_of_tiny_precision_are_uniform(assert_mean):
    # also a matter of time: without a tilt that fits, such a law accepts hardly any proposal
    dgp = pairs_with_negatives(5, mixing=identity(), num_negatives=1, precision=(9.0,) * 5)
    truth = dgp.init(jax.random.key(0), negative_precision=(1e-3,) * 5)
    z, _, z_neg = jax.jit(dgp.sample, static_argnums=2)(truth, jax.random.key(1), NUM).latents
    assert_mean(_products(z, z_neg[:, 0]), np.zeros(5))
    assert_mean(np.asarray(z_neg[:, 0]) ** 2, np.full(5, 0.2))


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
def test_every_view_is_seen_through_one_mixing(exact):
    mixing = random_invertible_mlp(3, pool_size=16)
    dgp = pairs_with_negatives(
        3, mixing=mixing, num_negatives=2, precision=LAMBDA, negative_precision=HARD, exact=exact
    )
    truth = dgp.init(jax.random.key(0))
    drawn = dgp.sample(truth, jax.random.key(1), 8)
    for latents, seen in zip(drawn.latents, drawn.observations, strict=True):
        flat = mixing.apply(truth["mixing"], latents.reshape(-1, 3))
        np.testing.assert_allclose(seen.reshape(-1, 3), flat, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_an_ensemble_has_one_positive_per_conditional(assert_mean):
    precisions = jnp.array([LAMBDA, HARD])
    mixing = random_invertible_mlp(3, pool_size=16)
    dgp = ensemble_pairs(3, mixing=mixing)
    truth = dgp.init(jax.random.key(0), precisions=precisions)
    drawn = jax.jit(dgp.sample, static_argnums=2)(truth, jax.random.key(1), NUM)
    (z, z_pos), (x, x_pos) = drawn.latents, drawn.observations
    assert z_pos.shape == (2, NUM, 3) and x_pos.shape == (2, NUM, 3)
    np.testing.assert_allclose(x, mixing.apply(truth["mixing"], z), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x_pos[1], mixing.apply(truth["mixing"], z_pos[1]), rtol=1e-5, atol=1e-6)
    for k in range(2):
        single = anisotropic_pairs(3, mixing=identity(), precision=precisions[k])
        a, b = single.sample(single.init(jax.random.key(0)), jax.random.key(7), 100_000).latents
        assert_mean(_products(z, z_pos[k]), _products(a, b).mean(axis=0), sigmas=6.5)


@pytest.mark.slow
def test_precisions_can_be_traced():
    dgp = pairs_with_negatives(3, mixing=identity(), num_negatives=2, precision=LAMBDA)

    def one(scale):
        truth = dgp.init(jax.random.key(0), negative_precision=scale * jnp.array(HARD))
        return dgp.sample(truth, jax.random.key(1), 4).latents[2]

    both = jax.jit(jax.vmap(one))(jnp.array([0.1, 1.0]))
    np.testing.assert_allclose(both[1], one(jnp.array(1.0)), rtol=1e-5, atol=1e-6)
    assert not np.allclose(both[0], both[1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n": 1, "num_negatives": 2}, "n=1"),
        ({"n": 3, "num_negatives": 0}, "num_negatives=0"),
        ({"n": 3, "num_negatives": 2, "negatives": "soft"}, "soft"),
        ({"n": 3, "num_negatives": 2, "precision": (1.0, 2.0)}, r"\(2,\), wanted \[3\]"),
        ({"n": 3, "num_negatives": 2, "negative_precision": (1.0, -2.0, 1.0)}, "negative_precision"),
        ({"n": 3, "num_negatives": 2, "threshold": 1.5}, "threshold"),
    ],
)
def test_bad_negatives(arguments, message):
    with pytest.raises(ValueError, match=message):
        pairs_with_negatives(**arguments, mixing=identity())


def test_missing_precisions_and_empty_draws():
    with pytest.raises(ValueError, match="no negative_precision"):
        pairs_with_negatives(3, mixing=identity(), num_negatives=2, precision=LAMBDA).init(jax.random.key(0))
    with pytest.raises(ValueError, match="no precisions"):
        ensemble_pairs(3, mixing=identity()).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"\(3,\), wanted \[K, 3\]"):
        ensemble_pairs(3, mixing=identity(), precisions=LAMBDA)
    for dgp in (
        pairs_with_negatives(3, mixing=identity(), num_negatives=1, negatives="uniform", precision=LAMBDA),
        ensemble_pairs(3, mixing=identity(), precisions=[LAMBDA]),
    ):
        with pytest.raises(ValueError, match="num=0"):
            dgp.sample(dgp.init(jax.random.key(0)), jax.random.key(1), 0)
    with pytest.raises(ValueError, match="n=1"):
        ensemble_pairs(1, mixing=identity(), precisions=[[1.0]])
