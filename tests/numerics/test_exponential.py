"""Exponentials of numbers that are not positive, against NumPy's in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from identax.numerics import exponential


def test_float32_has_its_digits():
    x = np.concatenate([-np.geomspace(1e-8, 87.3, 200_000), [0.0]]).astype(np.float32)
    found = np.asarray(jax.jit(exponential)(x), np.float64)
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2e-7)
    assert found[-1] == 1


def test_far_below_is_zero_and_nan_stays():
    x = np.array([-87.8, -100, -1e30, -np.inf, np.nan], np.float32)
    for found in (exponential(jnp.asarray(x)), jax.jit(exponential)(x)):
        np.testing.assert_array_equal(found, [0, 0, 0, 0, np.nan])


def test_float64_is_exact(x64):
    x = -np.geomspace(1e-10, 700, 10_000)
    np.testing.assert_allclose(exponential(jnp.asarray(x)), np.exp(x), rtol=1e-14)
