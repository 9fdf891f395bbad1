"""Pooling of the plain convolutional networks; the networks themselves: `test_torch_networks.py`."""

import jax
import jax.numpy as jnp
import numpy as np

from identax.models import plain_convnets as networks


def blocks(x):
    return x.reshape(3, 2, 2, 3, 2, 2)


def test_pooling_has_the_slope_of_the_largest_and_never_divides_by_none():
    x = jax.random.normal(jax.random.key(0), (3, 4, 6, 2))
    weights = jax.random.normal(jax.random.key(1), (3, 2, 3, 2))
    largest = blocks(x).max(axis=(2, 4))
    np.testing.assert_array_equal(networks._halved(x), largest)
    found = jax.grad(lambda x: (networks._halved(x) * weights).sum())(x)
    wanted = jax.grad(lambda x: (blocks(x).max(axis=(2, 4)) * weights).sum())(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    tied = jax.grad(lambda x: networks._halved(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(tied, np.full((1, 2, 2, 1), 0.25))
    # What a compiler may do: entries that are all a little below what was found to be their largest.
    (lost,) = networks._halved_backwards((x - 1e-3, largest), weights)
    np.testing.assert_array_equal(lost, 0)
