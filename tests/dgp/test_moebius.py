"""Moebius maps: conformal, with the published reference's numbers, and linear maps that break them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.dgp import (
    compose,
    latent_log_likelihood,
    mixed_sources,
    moebius,
    reference_moebius,
    rows_at_cosine,
    uniform_sources,
    unit_column_linear,
    unit_determinant_linear,
    with_weights,
)
from tests.dgp.jacobians import contrast, jacobians


@pytest.mark.slow
def test_it_is_the_formula(x64, getkey):
    for epsilon in (2.0, 3.0):
        mixing = moebius(3, epsilon=epsilon, scale=1.5)
        weights = mixing.init(getkey())._replace(offset=jnp.asarray([1.0, -2.0, 0.5]))
        s = np.asarray(uniform_sources(3).sample(getkey(), 30))
        away = s - np.asarray(weights.pole)
        wanted = [
            np.asarray(weights.offset) + 1.5 * np.asarray(weights.rotation) @ row / np.linalg.norm(row) ** epsilon
            for row in away
        ]
        np.testing.assert_allclose(mixing.apply(weights, s), wanted, atol=1e-13)
        np.testing.assert_allclose(mixing.inverse(weights, np.array(wanted)), s, atol=1e-13)


@pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5))])
def test_the_contrast_is_zero_and_only_for_conformal_exponents(n, x64, getkey):
    s = uniform_sources(n).sample(getkey(), 50)
    for epsilon, zero in ((2, True), (0, True), (3, False)):
        mixing = moebius(n, epsilon=epsilon)
        found = jacobians(mixing, mixing.init(getkey()), s)
        sizes = np.linalg.svd(np.asarray(found), compute_uv=False)
        assert (np.abs(contrast(found)).max() < 1e-12) == zero
        assert (np.abs(sizes / sizes[:, :1] - 1).max() < 1e-12) == zero


def test_the_published_mixing_has_its_published_numbers(x64):
    """Dossier: tr cov .00767, E log p 5.293, mean squared column norm .03318, mean removed."""
    mixing, sources = moebius(3), uniform_sources(3)
    world = mixed_sources(with_weights(mixing, reference_moebius()), sources)
    truth = world.init(jax.random.key(0))
    drawn = jax.jit(world.sample, static_argnums=2)(truth, jax.random.key(1), 200_000)
    x = np.asarray(drawn.observations)
    centred = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    likelihood = np.asarray(latent_log_likelihood(mixing, sources, truth, drawn.latents))
    squares = np.exp(-2 / 3 * likelihood)  # ||J_k||^2 = |det J|^(2/3) for each column, and log p = -log|det J|
    for found, wanted, printed in ((centred, 0.00767, 5e-6), (likelihood, 5.293, 5e-4), (squares, 0.03318, 5e-6)):
        # the published numbers are means over 60,000 other draws, of 3 or 4 digits
        band = 6 * found.std() * np.sqrt(1 / 200_000 + 1 / 60_000) + printed
        assert abs(found.mean() - wanted) < band < 0.03 * wanted
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=6 * x.std() / np.sqrt(60_000))
    rotation = np.asarray(truth["mixing"].rotation)
    np.testing.assert_allclose(rotation[0], [0.89529806, 0.07969353, 0.43828110], atol=1e-8)  # as published
    np.testing.assert_allclose(mixing.inverse(truth["mixing"], x), drawn.latents, atol=1e-12)
    np.testing.assert_allclose(
        np.square(jacobians(mixing, truth["mixing"], drawn.latents[:100])).sum(axis=1),
        np.broadcast_to(squares[:100, None], (100, 3)),
        rtol=1e-10,
    )


def test_poles_and_rotations_have_their_laws():
    weights = jax.jit(jax.vmap(moebius(3).init))(jax.random.split(jax.random.key(0), 20_000))
    far = np.abs(moebius(3, clearance=1e3).init(jax.random.key(0)).pole)  # whose probability is 0 in float32
    assert np.isfinite(far).all() and far.min() >= 1e3
    pole = np.asarray(weights.pole)
    assert np.isfinite(pole).all() and np.abs(pole).min() >= 0.5
    tail = stats.norm.sf(0.5)
    folded = stats.norm.sf(np.abs(pole)) / tail  # uniform if the tail's law is right
    assert stats.kstest(folded.ravel(), "uniform").pvalue > 1e-6
    assert abs((pole > 0).mean() - 0.5) < 6 * 0.5 / np.sqrt(pole.size)
    rotation = np.asarray(weights.rotation)
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-5
    )
    assert abs(np.linalg.det(rotation).mean()) < 6 / np.sqrt(20_000)
    assert abs((rotation**2).mean() - 1 / 3) < 1e-4


@pytest.mark.slow
def test_contrasts_of_linear_maps_have_the_published_law(x64):
    """Dossier, n = 3: mean 2.300, sd 1.200, quantiles .833 / 1.452 / 2.052 / 2.904 / 4.515 (4000 draws)."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    found = contrast(jax.jit(jax.vmap(unit_determinant_linear(3).init))(keys))
    error = 1.25 * np.sqrt(1 / 20_000 + 1 / 4000)
    assert abs(found.mean() - 2.300) < 4 * error
    assert abs(found.std() - 1.200) < 0.09
    np.testing.assert_allclose(
        np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95]), [0.833, 1.452, 2.052, 2.904, 4.515], rtol=0.05
    )
    np.testing.assert_allclose(contrast(jax.jit(jax.vmap(unit_column_linear(3).init))(keys)), found, atol=1e-9)
    for n, mean in ((2, 1.19), (5, 4.55)):
        assert abs(contrast(jax.jit(jax.vmap(unit_determinant_linear(n).init))(keys)).mean() - mean) < 6 * error


def test_linear_maps_are_scaled_as_they_say(x64, getkey):
    keys = jax.random.split(getkey(), 200)
    unit = np.asarray(jax.jit(jax.vmap(unit_determinant_linear(4).init))(keys))
    np.testing.assert_allclose(np.abs(np.linalg.det(unit)), 1, rtol=1e-9)
    assert (np.linalg.det(unit) < 0).any() and (unit > 0).all()
    columns = np.asarray(jax.jit(jax.vmap(unit_column_linear(4).init))(keys))
    np.testing.assert_allclose(np.linalg.norm(columns, axis=1), 1, rtol=1e-12)
    rows = np.asarray(rows_at_cosine(0.6).init(getkey()))
    np.testing.assert_allclose(rows, [[1, 0], [0.6, 0.8]], atol=1e-15)
    np.testing.assert_allclose(contrast(rows), 0.5 * np.log(1 + 0.36), rtol=1e-12)
    # cosines are traced: a sweep compiles once
    swept = jax.jit(jax.vmap(lambda cosine: rows_at_cosine(cosine).init(jax.random.key(0))))(jnp.linspace(-0.9, 0.9, 5))
    np.testing.assert_allclose(np.linalg.det(np.asarray(swept)), np.sqrt(1 - np.linspace(-0.9, 0.9, 5) ** 2))


def test_latents_are_columns_to_a_linear_map(x64, getkey):
    mixing = compose(rows_at_cosine(0.6), moebius(2))
    weights, s = mixing.init(getkey()), uniform_sources(2).sample(getkey(), 5)
    inner = np.asarray(moebius(2).apply(weights["inner"], s))
    np.testing.assert_allclose(mixing.apply(weights, s), [np.array([[1, 0], [0.6, 0.8]]) @ row for row in inner])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, w: m.apply(w, jnp.stack([w.pole, w.pole + 1])), "found 1 latents at the pole"),
        (lambda m, w: m.log_det(w, w.pole[None, :]), "found 1 latents at the pole"),
        (lambda m, w: m.inverse(w, w.offset[None, :]), "found 1 observations at the offset"),
        (lambda m, w: moebius(0), "n=0"),
        (lambda m, w: moebius(3, epsilon=1), "epsilon=1"),
        (lambda m, w: moebius(3, epsilon=-2), "epsilon=-2"),
        (lambda m, w: moebius(3, scale=0), "scale=0"),
        (lambda m, w: moebius(3, clearance=-1), "clearance"),
        (lambda m, w: unit_determinant_linear(0), "n=0"),
        (lambda m, w: unit_column_linear(-1), "n=-1"),
        (lambda m, w: rows_at_cosine(1.0), "cosine=1"),
        (lambda m, w: rows_at_cosine(-1.2), "cosine=-1.2"),
    ],
)
def test_bad_input_is_named(call, words):
    mixing = moebius(3)
    with pytest.raises(ValueError, match=words):
        call(mixing, mixing.init(jax.random.key(0)))


def test_a_rotation_has_no_pole(getkey):
    mixing = moebius(3, epsilon=0)
    weights = mixing.init(getkey())
    np.testing.assert_array_equal(mixing.apply(weights, weights.pole[None, :]), weights.offset[None, :])
