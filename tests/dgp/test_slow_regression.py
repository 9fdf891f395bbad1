"""Slowly-changing regression: which bits change when, and targets against the network written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from identax.dgp import slow_regression
from tests.eager import compiled_by_second_call


@pytest.fixture(scope="module", params=["redraw", "flip"])
def stream_of_examples(request):
    world = slow_regression(num_inputs=7, num_slow=4, period=10, num_units=9, change=request.param)
    truth, key = world.init(jax.random.key(1)), jax.random.key(2)
    blocks = [world.sample(truth, key, step, 25) for step in range(0, 100, 25)]
    return request.param, world, truth, key, [np.concatenate(arrays) for arrays in zip(*blocks, strict=True)]


def test_slow_bits_change_at_the_end_of_a_period_alone(stream_of_examples):
    change, world, truth, key, (x, _) = stream_of_examples
    moved = np.abs(np.diff(x[:, :4], axis=0)).sum(axis=1)
    at_ends = np.arange(9, 99, 10)
    assert (np.delete(moved, at_ends) == 0).all() and set(np.unique(x)) == {0, 1}
    if change == "flip":
        np.testing.assert_array_equal(moved[at_ends], 1)
    else:
        assert moved[at_ends].max() > 1
    # Another block of the same size shows the same slow bits.
    np.testing.assert_array_equal(world.sample(truth, key, 33, 25)[0][:, :4], x[33:58, :4])
    assert (np.diff(x[:, 4:], axis=0) != 0).mean() > 0.4


def test_targets_are_those_of_the_network(stream_of_examples):
    _, _, truth, _, (x, y) = stream_of_examples
    hidden, output = (np.asarray(part).astype(int) for part in truth)
    assert set(np.unique(hidden)) == set(np.unique(output)) == {-1, 1}
    wanted = np.full(len(x), output[-1])
    for unit in range(9):
        w, b = hidden[:-1, unit], hidden[-1, unit]
        threshold = 0.7 * 8 - (7 - w.sum() + b) / 2
        wanted += output[unit] * (x.astype(int) @ w + b > threshold)
    np.testing.assert_array_equal(y, wanted)
    assert len(np.unique(y)) > 3


def test_a_second_block_compiles_nothing_and_runs_can_be_mapped(stream_of_examples):
    change, world, truth, key, _ = stream_of_examples
    assert compiled_by_second_call(world.sample, (truth, key, 0, 25), (truth, jax.random.key(5), 40, 25)) == 0
    if change == "flip":
        x, y = jax.vmap(lambda key: world.sample(truth, key, 40, 25))(jnp.stack([jax.random.key(5), key]))
        single = world.sample(truth, key, 40, 25)
        np.testing.assert_array_equal(x[1], single[0])
        np.testing.assert_array_equal(y[1], single[1])


@pytest.mark.slow
def test_the_variance_of_the_published_size():
    """Signs v of mean 0 leave the sum over units of the variance of "fires", here by enumeration."""
    m, beta = 20, 0.7
    wanted = 0.0
    for num_positive in range(m + 1):
        sums = np.convolve(
            binom.pmf(range(num_positive + 1), num_positive, 0.5),
            binom.pmf(range(m - num_positive + 1), m - num_positive, 0.5)[::-1],
        )
        value = np.arange(-(m - num_positive), num_positive + 1)
        for b in (-1, 1):
            fires = sums[value + b > beta * (m + 1) - (m - (2 * num_positive - m) + b) / 2].sum()
            wanted += 100 * binom.pmf(num_positive, m, 0.5) / 2 * fires * (1 - fires)
    world = slow_regression(period=1)

    def variance(key):
        return jnp.var(world.sample(world.init(key), key, 0, 200)[1], ddof=1)

    found = jax.jit(jax.vmap(variance))(jax.random.split(jax.random.key(0), 1000))
    np.testing.assert_allclose(found.mean(), wanted, atol=3 * float(jnp.std(found)) / 1000**0.5)
    assert 2.7 < wanted < 2.8


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: slow_regression(num_units=0), "num_units=0"),
        (lambda: slow_regression(num_slow=21), "num_slow=21 of num_inputs=20"),
        (lambda: slow_regression(beta=1.5), "beta=1.5"),
        (lambda: slow_regression(change="flips"), "did you mean 'flip'"),
        (lambda: slow_regression().sample(None, None, -1, 3), "step=-1, wanted an integer of 0"),
        (lambda: slow_regression().sample(None, None, 0.5, 3), "step=0.5"),
        (lambda: slow_regression().sample(None, None, 0, 0), "n=0"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
