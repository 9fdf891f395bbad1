"""BetaVAE and FactorVAE scores: known worlds, a NumPy re-derivation, controls."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.factors import Factor, FactorGrid
from identax.metrics import beta_vae_score, factor_vae_score
from identax.metrics.disentanglement._programs import _kept, kept_program
from identax.metrics.disentanglement.interventional import _majority_accuracy, _require_finite

SIZES = jnp.array([3, 4, 5, 6])
KEY = jax.random.key(7)
SMALL = {"num_train": 200, "num_eval": 200, "group_size": 16}
# The first factor is constant and never the fixed one.
BETA = functools.partial(beta_vae_score, **SMALL, factor_indices=(1, 2, 3, 4))
FACTOR = functools.partial(factor_vae_score, **SMALL, num_variance=1024, factor_indices=(1, 2, 3, 4), min_std=1e-4)
# Permuted and scaled over six orders of magnitude.
PERFECT = np.diag([1e3, -1.0, 1e-3, 2.0])[[2, 0, 3, 1]]
# A rotation in which every estimate holds all factors alike.
HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def _sample(key, num):
    factors = jax.random.randint(key, (num, 4), 0, SIZES[None, :])
    return jnp.concatenate([jnp.ones_like(factors[:, :1]), factors], axis=1)


def _compiled(score):
    """The score of z = standardised factors W + noise + 5, with a dead dim in front; one program for all of them."""

    def scored(key, weights, noise):
        def represent(key, factors):
            standard = (factors[:, 1:] - (SIZES - 1)[None, :] / 2) / jnp.sqrt((SIZES**2 - 1) / 12)[None, :]
            z = jnp.matmul(standard, weights) + noise * jax.random.normal(key, standard.shape) + 5
            return jnp.concatenate([jnp.full((len(z), 1), 0.1), z], axis=1)

        return score(key, represent, _sample)

    return jax.jit(scored)


@pytest.mark.parametrize("score", [BETA, FACTOR])
def test_known_worlds(score):
    compiled = _compiled(score)
    assert compiled(KEY, PERFECT, 0.0) == 1
    # Chance is 1/4; the best of several votes lies a little above it. Six sigma of 200 points: 0.18.
    noise = compiled(KEY, 0 * PERFECT, 1.0)
    assert 0.07 < noise < 0.45
    assert noise == compiled(KEY, 0 * PERFECT, 1.0) and noise != compiled(jax.random.key(8), 0 * PERFECT, 1.0)
    # Whichever factor is fixed, every estimate of the rotation loses a quarter of its variance: no vote, and no
    # difference of second moments.
    turned = compiled(KEY, HADAMARD, 0.0)
    assert 0.07 < turned < (0.45 if score is FACTOR else 0.75)
    # One factor drowned in noise: BetaVAE's classifier finds it by elimination, the vote does not (Kim & Mnih 2018).
    missing = compiled(KEY, PERFECT, 0.01)
    assert 0.6 < missing < 0.95 if score is FACTOR else missing > 0.95
    # An estimate below min_std has no vote: three factors of four, and what the fourth gets by chance.
    narrow = compiled(KEY, PERFECT * np.array([1, 1e-5, 1, 1]), 0.0)
    assert 0.6 < narrow < 0.95 if score is FACTOR else narrow == 1
    dead = compiled(KEY, 0 * PERFECT, 0.0)
    assert dead == 0 if score is FACTOR else dead < 0.45
    assert np.isnan(compiled(KEY, np.nan * PERFECT, 0.0))


def test_majority_vote_against_a_loop():
    rng = np.random.default_rng(1)
    train, test = rng.integers(0, 9, (2, 4, 6)).astype(np.int32)
    right = sum(test[np.argmax(train[:, dim]), dim] for dim in range(6))
    got = _majority_accuracy(jnp.asarray(train), jnp.asarray(test), jnp.float32)
    np.testing.assert_allclose(got, right / test.sum(), rtol=1e-6)


def test_the_factors_of_a_grid():
    grid = FactorGrid((Factor("color", (1,)), Factor("shape", (1, 2, 3)), Factor("size", (0, 0.5, 1), (0, 1))))
    with pytest.raises(ValueError, match=r"constant factors \(columns \[0\]\)"):
        factor_vae_score(KEY, _identity, grid.sample_codes, **SMALL)
    for score in (beta_vae_score, factor_vae_score):
        traced = jax.eval_shape(lambda key: score(key, _identity, grid.sample_codes, factor_indices=(1, 2)), KEY)  # noqa: B023
        assert traced.shape == ()


def _identity(key, factors):
    return factors * 1.0


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
@pytest.mark.parametrize(
    "changes, wanted",
    [
        ({"represent": lambda key, v: jnp.sum(v, axis=1)}, r"wanted one array \[1024, m\]"),
        ({"sample_factors": lambda key, num: jnp.zeros(num)}, r"wanted \[1024, K\]"),
        ({"sample_factors": lambda key, num: jnp.zeros((num, 3))}, "constant factors"),
        ({"factor_indices": [1]}, "two different ones"),
        ({"factor_indices": [1, 5]}, "two different ones"),
        ({"num_eval": 0}, "too small"),
    ],
)
def test_bad_input_is_refused(score, changes, wanted):
    arguments = {"represent": _identity, "sample_factors": _sample, "factor_indices": (1, 2), **SMALL, **changes}
    with pytest.raises(ValueError, match=wanted):
        score(KEY, **arguments)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        _require_finite("score", jnp.asarray(jnp.nan))
    with pytest.raises(ValueError, match="min_std=-1"):
        FACTOR(KEY, _identity, _sample, min_std=-1)


def test_a_program_is_kept_for_the_same_functions_only():
    """Its key: what functions refer to now. Everything bound anew or changed in place makes another one."""
    grid = FactorGrid((Factor("shape", (1, 2, 3)), Factor("size", (0, 0.5, 1), (0, 1))))
    params, box = jnp.ones(2), {"scale": 1.0}

    def represent(key, factors):
        return factors * params[None, :] * box["scale"]

    def program(*functions):
        return kept_program(
            lambda key: represent(key, jnp.ones((2, 2))), functions or (represent, grid.sample_codes), 3
        )

    first = program()
    assert program() is first and program(lambda key: 0) is not program(lambda key: 0)
    np.testing.assert_array_equal(first(KEY), 1.0)
    box["scale"] = 2.0
    second = program()
    assert second is not first
    np.testing.assert_array_equal(second(KEY), 2.0)
    params = 3 * jnp.ones(2)
    np.testing.assert_array_equal(program()(KEY), 6.0)
    params = np.ones(2)  # may change in place
    assert program() is not program()
    for _ in range(20):
        program(lambda key: 0)
    assert len(_kept) <= 8
