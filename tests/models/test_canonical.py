"""Canonical coordinates: exact on constructed embeddings, with and without spare dims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import ShellProjectedNormal, Sphere
from identax.metrics import linear_r2, mcc
from identax.models import canonical_coordinates, fit_linear_layer


def _pairs(key, precision, num=20_000):
    space = Sphere(len(precision))
    z = space.uniform(jax.random.fold_in(key, 0), num)
    law = ShellProjectedNormal(jnp.asarray(precision))
    return z, law.sample(jax.random.fold_in(key, 1), z, space)


@pytest.mark.slow
def test_distinct_precisions_are_found_up_to_sign_whatever_the_linear_map(getkey):
    z, z_pos = _pairs(getkey(), [25.0, 21.0, 17.0, 13.0, 9.0, 5.0], num=100_000)
    mix = jax.random.normal(getkey(), (6, 6)) + 2 * jnp.eye(6)
    found = canonical_coordinates(z @ mix, z_pos @ mix, 6)
    assert mcc(z, found.coordinates) > 0.98
    assert mcc(z, z @ mix) < 0.95  # negative control: the map did mix them
    np.testing.assert_allclose(np.linalg.norm(found.coordinates, axis=1), 1, rtol=1e-5)
    assert (np.diff(found.correlations) < 0).all()
    np.testing.assert_allclose(found.precision, [25, 21, 17, 13, 9, 5], rtol=0.08)


@pytest.mark.slow
def test_a_fold_in_a_spare_dim_is_dropped(getkey):
    z, z_pos = _pairs(getkey(), [25.0, 25.0, 5.0, 5.0])

    def embed(z):  # one dim more, which holds a constant and the modulus of a style latent
        return jnp.concatenate([z, 0.4 + 0.5 * jnp.abs(z[:, 3:])], axis=1)

    found = canonical_coordinates(embed(z), embed(z_pos), 4)
    assert linear_r2(found.coordinates, z) > 0.98
    # negative control: keeping the wrong four of five dims loses a latent
    assert linear_r2(embed(z)[:, 1:], z) < 0.9


def test_linear_layer_is_fitted_to_its_targets(x64, getkey):
    features = jax.random.normal(getkey(), (500, 7))
    kernel, bias = jax.random.normal(getkey(), (7, 3)), jnp.array([1.0, -2.0, 0.5])
    found_kernel, found_bias = fit_linear_layer(features, features @ kernel + bias[None, :])
    np.testing.assert_allclose(found_kernel, kernel, atol=1e-3)
    np.testing.assert_allclose(found_bias, bias, atol=1e-3)


def test_collapsed_embeddings_stay_finite(getkey):
    flat = jnp.ones((64, 4))
    found = canonical_coordinates(flat, flat, 3)
    assert all(np.isfinite(leaf).all() for leaf in (found.correlations, found.precision))


@pytest.mark.parametrize(("shape", "num"), [((8, 3), 4), ((8, 3), 0)])
def test_bad_sizes_are_refused(shape, num):
    with pytest.raises(ValueError, match="canonical_coordinates: found shapes"):
        canonical_coordinates(jnp.ones(shape), jnp.ones(shape), num)
