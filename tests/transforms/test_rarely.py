"""A rare branch is `jax.lax.cond` to every trial, and is computed only in the steps in which some trial takes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.transforms._rarely import rarely

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
SCALES, SEEDS = np.arange(6, dtype=np.float32), np.arange(6)


def branching(choose):
    """Five steps whose branches close over numbers, keys among them."""

    def run(x, scale, seed):
        key = jax.random.key(seed)

        def act(held):
            return held[0] * scale + jax.random.normal(key, held[0].shape), held[1] + 1

        def step(held, _):
            held = choose(held[0].sum() > 0, act, lambda held: (held[0] - 0.1 * scale, held[1]), held)
            return held, held[0]

        return jax.lax.scan(step, (x, jnp.int32(0)), None, length=5)

    return run


SOME = [(0, 0, 0), (None, None, 0)]
MORE = [(0, None, None), (None, 0, None)]


@pytest.mark.parametrize("mapped", [*SOME, *(pytest.param(one, marks=pytest.mark.slow) for one in MORE)])
def test_trials_agree_with_cond(mapped):
    args = [value if axis == 0 else value[2] for value, axis in zip((X, SCALES, SEEDS), mapped, strict=True)]
    found, wanted = (jax.jit(jax.vmap(branching(choose), mapped))(*args) for choose in (rarely, jax.lax.cond))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), found, wanted)
    if mapped[0] == 0:
        assert 0 < np.asarray(found[0][1]).sum() < found[0][1].size * 5


@pytest.mark.slow
def test_trials_of_trials_agree_with_cond():
    args = [value.reshape(2, 3, *value.shape[1:]) for value in (X, SCALES, SEEDS)]
    found, wanted = (jax.jit(jax.vmap(jax.vmap(branching(choose))))(*args) for choose in (rarely, jax.lax.cond))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), found, wanted)


def test_the_branch_is_computed_only_where_some_trial_takes_it():
    calls = []

    def act(x):
        jax.debug.callback(lambda: calls.append(1))
        return x + 1

    def run(first):
        return jax.lax.scan(lambda x, t: (rarely(t == first, act, lambda x: x, x), None), 0.0, jnp.arange(20))[0]

    found = jax.jit(jax.vmap(run))(jnp.array([3, 5, 5, 99]))
    jax.effects_barrier()
    np.testing.assert_array_equal(found, [1, 1, 1, 0])
    # `cond` would compute it at all 20 steps.
    assert len(calls) == 2
