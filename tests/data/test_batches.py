"""Epochs on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.data import epoch_indices, take


def walk(key, num_steps, **sizes):
    steps = jnp.arange(num_steps)
    return np.asarray(jax.jit(jax.vmap(lambda step: epoch_indices(key, step, **sizes)))(steps))


def test_every_index_comes_exactly_once_per_epoch_and_epochs_differ(getkey):
    batches = walk(getkey(), 12, num_examples=20, batch_size=5)
    epochs = batches.reshape(3, 20)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(20), (3, 1)))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    assert (epochs[0] != np.arange(20)).any()


def test_a_batch_that_does_not_divide_leaves_out_the_rest_and_others_each_epoch(getkey):
    epochs = walk(getkey(), 40, num_examples=11, batch_size=4).reshape(20, 8)
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set(epochs.ravel()) == set(range(11))


def test_a_batch_depends_on_key_and_step_alone(getkey):
    key = getkey()
    batches = walk(key, 8, num_examples=20, batch_size=5)
    np.testing.assert_array_equal(epoch_indices(key, 6, num_examples=20, batch_size=5), batches[6])
    assert (walk(getkey(), 8, num_examples=20, batch_size=5) != batches).any()


def test_take_gathers_rows_of_every_leaf():
    data = {"x": jnp.arange(12).reshape(6, 2), "y": jnp.arange(6)}
    found = take(data, jnp.array([4, 1]))
    np.testing.assert_array_equal(found["x"], [[8, 9], [2, 3]])
    np.testing.assert_array_equal(found["y"], [4, 1])


@pytest.mark.parametrize("batch_size", [0, 21])
def test_bad_batch_size_is_refused(getkey, batch_size):
    with pytest.raises(ValueError, match="wanted 1 <= batch_size <= num_examples"):
        epoch_indices(getkey(), 0, num_examples=20, batch_size=batch_size)
