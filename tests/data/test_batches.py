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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 2.5}, "found batch_size=2.5, wanted an integer"),
        ({"batch_size": True}, "found batch_size=True, wanted an integer"),
        ({"num_examples": 20.0}, "found num_examples=20.0, wanted an integer"),
        ({"step": -1}, "found step=-1, wanted an integer of 0 or more"),
        ({"step": 2.0}, "found step=2.0, wanted an integer"),
        ({"step": True}, "found step=True, wanted an integer"),
        ({"step": [1, 2]}, r"found step=int32 \(2,\), wanted an integer"),
    ],
)
def test_sizes_and_steps_are_whole_numbers(getkey, options, message):
    options = {"step": 0, "num_examples": 20, "batch_size": 5, **options}
    with pytest.raises(ValueError, match="^epoch_indices: " + message):
        epoch_indices(getkey(), options.pop("step"), **options)


def test_take_knows_masks_and_refuses_what_gathers_something_else():
    data = {"x": np.arange(6), "y": jnp.arange(12).reshape(6, 2)}
    np.testing.assert_array_equal(take(data, [True, False, False, True, False, False])["y"], [[0, 1], [6, 7]])
    np.testing.assert_array_equal(take(data, [5, 0])["x"], [5, 0])
    for indices, message in {
        "float": (jnp.array([1.0]), r"found indices of float32 \(1,\), wanted integers \[B\] or a known boolean mask"),
        "short": (np.array([True]), r"found indices of bool \(1,\)"),
        "one": (2, r"found indices of int64 \(\)"),
        "high": ([0, 6], "found indices from 0 to 6, wanted 0 to 5"),
        "low": ([-1], "found indices from -1 to -1"),
    }.values():
        with pytest.raises(ValueError, match="^take: " + message):
            take(data, indices)
    with pytest.raises(ValueError, match=r"found indices of bool \(6,\)"):
        jax.jit(take)(data, jnp.ones(6, bool))
    for data in ({"x": np.zeros(3), "y": np.zeros(2)}, {"x": 1.0}, {}):
        with pytest.raises(ValueError, match=r"^take: found arrays of shapes .*, wanted \[N, ...\] of one N"):
            take(data, [0])
