"""The protocol: resetting in the step that ended, many side by side, and a contract that refuses what breaks it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.environments import (
    Transition,
    auto_reset,
    check_environment,
    environment,
    side_by_side,
    square84,
    time_limit,
)
from identax.dgp.environments.protocol import as_timestep
from identax.rng import stream
from tests.dgp.environments.counter import counter, play
from tests.eager import compiled_by_second_call


def test_an_environment_does_not_reset_itself():
    _, found = play(counter(ends=3), [1, 1, 1, 1])
    assert [bool(step.terminated) for step in found] == [False, False, True, True]
    np.testing.assert_array_equal(found[3].observation, [4.0, 4.0])


def test_the_step_that_ended_begins_the_next_episode():
    first, found = play(auto_reset(counter(ends=3, start=1)), [1, 1, 1, 1])
    np.testing.assert_array_equal(first, [1, 0])
    assert [bool(step.terminated) for step in found] == [False, True, False, True]
    np.testing.assert_array_equal([step.observation for step in found], [[2, 1], [1, 0], [2, 1], [1, 0]])
    np.testing.assert_array_equal([step.final_observation for step in found], [[2, 1], [3, 2], [2, 1], [3, 2]])
    np.testing.assert_array_equal([step.info["raw_reward"] for step in found], [5, 7, 5, 7])
    assert [bool(step.info["game_over"]) for step in found] == [False, True, False, True]


def test_a_truncation_ends_the_episode_too_and_is_no_termination():
    _, found = play(auto_reset(counter(ends=50, cut=2)), [1, 1, 1])
    assert [(bool(step.terminated), bool(step.truncated)) for step in found] == [(0, 0), (0, 1), (0, 0)]
    np.testing.assert_array_equal(found[1].final_observation, [2, 2])
    np.testing.assert_array_equal(found[1].observation, [0, 0])


def test_what_terminates_at_the_time_limit_is_terminated_alone():
    _, (step,) = play(counter(ends=1, cut=1), [1])
    assert step.terminated and not step.truncated


def test_the_new_episode_is_drawn_with_a_key_of_its_own():
    world = auto_reset(counter(ends=40, cut=1, noise=True))
    _, found = play(world, [0] * 20)
    places = [int(step.observation[0]) for step in found]
    assert len(set(places)) > 10
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(20)]
    wanted = [int(counter(ends=40, noise=True).reset(stream(key, "reset"), 1.0)[1][0]) for key in keys]
    assert places == wanted


@functools.partial(jax.jit, static_argnums=(0, 2))
def _rollout(world, key, count, actions, params):
    many = side_by_side(world, count)
    state, observation = many.reset(key, params)

    def one(state, given):
        found = many.step(*given[:1], state, given[1], params)
        return found.state, found

    return observation, jax.lax.scan(one, state, (jax.random.split(key, len(actions)), actions))[1]


def test_many_side_by_side_are_those_alone(getkey):
    world, actions = counter(ends=4, noise=True), jnp.asarray([[1, 2], [0, 1], [2, 0], [1, 1], [2, 2]])
    key, single = getkey(), auto_reset(counter(ends=4, noise=True))
    first, found = _rollout(world, key, 2, actions, world.params)
    assert isinstance(found, Transition) and found.reward.shape == (5, 2)
    for e in range(2):
        state, observation = single.reset(jax.random.split(key, 2)[e], world.params)
        np.testing.assert_array_equal(first[e], observation)
        for t in range(5):
            step_key = jax.random.split(jax.random.split(key, 5)[t], 2)[e]
            step = single.step(step_key, state, actions[t, e], world.params)
            state = step.state
            alone, beside = jax.tree.leaves(step), jax.tree.leaves(jax.tree.map(lambda leaf: leaf[t, e], found))  # noqa: B023
            for a, b in zip(alone, beside, strict=True):
                np.testing.assert_array_equal(a, b)


def test_parameters_are_traced_and_shared(getkey):
    world, actions = counter(), jnp.ones((3, 2), jnp.int32)
    key = getkey()
    doubled = jax.vmap(lambda scale: _rollout(world, key, 2, actions, scale)[1].reward)(jnp.asarray([1.0, 2.0]))
    np.testing.assert_array_equal(2 * doubled[0], doubled[1])


def test_a_second_call_compiles_nothing(getkey):
    world = environment("square84", block=2)
    assert environment("square84", block=2) is world is not environment("square84", block=3)
    actions = jnp.zeros((2, 3), jnp.int32)

    def call(key):
        return _rollout(environment("square84", block=2), key, 3, actions, ())

    assert compiled_by_second_call(call, (getkey(),), (getkey(),)) == 0


def test_square84(getkey):
    world = square84()
    assert (world.num_actions, world.observation.shape, world.observation.dtype) == (3, (84, 84, 4), jnp.uint8)
    actions = jax.random.randint(getkey(), (300, 4), 0, 3)
    first, found = _rollout(world, getkey(), 4, actions, ())
    seen = np.concatenate([first[None], found.observation])  # [T + 1, E, 84, 84, 4]
    assert set(np.unique(seen)) == {0, 255} and (seen == seen[..., :1]).all()
    rows, columns = (seen[..., 0] > 0).any(axis=3), (seen[..., 0] > 0).any(axis=2)
    assert (rows == (np.arange(84) // 28 == 1)).all()
    places = columns[..., ::28].argmax(axis=-1)
    assert (columns == (np.arange(84) // 28 == places[..., None])).all()
    np.testing.assert_array_equal(found.reward, np.where(actions == places[:-1], 1.0, -0.5))
    np.testing.assert_array_equal(found.info["cell"], places[1:])
    assert not found.terminated.any() and not found.truncated.any()
    counts = np.bincount(places.ravel())
    assert (np.abs(counts - 400) < 6 * np.sqrt(1200 * 2 / 9)).all()  # multinomial, six standard deviations
    changes = np.bincount((3 * places[:-1] + places[1:]).ravel(), minlength=9)
    assert (np.abs(changes - 1200 / 9) < 6 * np.sqrt(1200 * 8 / 81)).all()  # independent from step to step


@pytest.mark.parametrize("world", [square84(2), counter(), auto_reset(counter(noise=True)), counter(cut=3)])
def test_what_keeps_the_contract_passes(world, getkey):
    check_environment(world, getkey(), num_steps=20)


def _step(world, **changes):
    """The world with other fields of its timesteps; what is given maps (timestep, key) to the new value."""

    def step(key, state, action, params):
        found = world.step(key, state, action, params)
        return found._replace(**{name: change(found) for name, change in changes.items()})

    return dataclasses.replace(world, step=step)


def _forgetful():
    """A world with a memory outside its state."""
    calls = iter(range(1000))

    def step(key, state, action, params):
        found = counter().step(key, state, action, params)
        told = jax.pure_callback(lambda: np.float32(next(calls)), jax.ShapeDtypeStruct((), jnp.float32))
        return found._replace(reward=told)

    return auto_reset(dataclasses.replace(counter(), step=step))


def _both(found):
    return found.truncated | found.terminated


MANY = side_by_side(counter(), 2)
BREAKS = {
    "no Timestep": (dataclasses.replace(counter(), step=lambda *_: (0, 1)), "returns tuple"),
    "observation": (counter(observation=jax.ShapeDtypeStruct((3,), jnp.float32)), "observation of reset"),
    "observation of step": (_step(counter(), observation=lambda f: f.observation.astype(int)), "observation of step"),
    "reward": (_step(counter(), reward=lambda f: f.reward.astype(jnp.int32)), "found reward int32"),
    "terminated": (_step(counter(), terminated=lambda f: f.reward), "found terminated float32"),
    "info": (_step(counter(), info=lambda f: f.info | {"lives": f.reward}), "info\\['lives'\\] float32"),
    "no cells": (counter(num_states=None), "both or neither"),
    "cells": (counter(num_states=2), "found cells from"),
    "state": (_step(counter(), state=lambda f: f.state[:2]), "one structure"),
    "NaN reward": (_step(counter(), reward=lambda f: f.reward / (f.state[1] != 3)), "rewards that are not finite"),
    "NaN observation": (
        _step(counter(), observation=lambda f: f.observation / f.state[0]),
        "observations that are not",
    ),
    "NaN parameter": (counter(params=jnp.full((), jnp.nan)), "parameter .* that is not finite"),
    "both ends": (_step(counter(), truncated=_both), "terminated and truncated"),
    "another memory": (_forgetful(), "other numbers for the same keys"),
    "observation of many": (
        dataclasses.replace(MANY, observation=jax.ShapeDtypeStruct((3,), jnp.float32)),
        "observation of reset",
    ),
    "ends of many": (_step(MANY, terminated=lambda f: f.terminated.any()), r"terminated bool\[\]"),
    "cells of many": (_step(MANY, info=lambda f: f.info | {"lives": jnp.int32(0)}), r"wanted integer \[2\]"),
    "many that reset unsaid": (dataclasses.replace(MANY, resets=False), "returns Transition"),
    "a reset without the raw reward": (
        _step(MANY, info=lambda f: {name: f.info[name] for name in f.info if name != "raw_reward"}),
        "no info \\['raw_reward'\\]",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_breaks_the_contract_is_named(case, getkey):
    world, message = BREAKS[case]
    with pytest.raises(ValueError, match=message):
        check_environment(world, getkey(), num_steps=20)


def test_a_final_observation_that_is_lost_is_seen(getkey):
    many = side_by_side(counter(), 2)

    def step(*given):
        found = many.step(*given)
        return found._replace(final_observation=found.final_observation + 1)

    with pytest.raises(ValueError, match="final observation"):
        check_environment(dataclasses.replace(many, step=step), getkey(), num_steps=5)


def test_bad_input_is_refused(untyped):
    with pytest.raises(ValueError, match="count=0"):
        side_by_side(counter(), 0)
    with pytest.raises(ValueError, match="resets itself"):
        auto_reset(auto_reset(counter()))
    with pytest.raises(ValueError, match="of 2 environments"):
        side_by_side(side_by_side(counter(), 2), 2)
    with pytest.raises(ValueError, match="resets itself"):
        time_limit(auto_reset(counter()), 3)
    with pytest.raises(ValueError, match="block=0"):
        square84(0)
    assert square84(jnp.int32(3)) is square84(3)
    with pytest.raises(ValueError, match=r"block=3\.0"):
        square84(3.0)  # equal to a block that is kept


@pytest.mark.parametrize(
    "call",
    [
        time_limit,
        side_by_side,
        auto_reset,
        lambda world, num: check_environment(world, jax.random.key(0), num_steps=num),
    ],
)
def test_a_name_in_the_place_of_an_environment_is_refused(call, untyped):
    given = ("square84",) if call is auto_reset else ("square84", 2)
    with pytest.raises(ValueError, match="found environment of type str, wanted one of type Environment"):
        call(*given)


def test_ends_are_apart_and_rewards_are_floats():
    step = as_timestep((), 0, 2, np.True_, 1, {})
    assert step.terminated and not step.truncated and step.reward.dtype == jnp.float32


def test_a_shape_alone_is_no_observation(untyped):
    with pytest.raises(ValueError, match=r"observation=\(3,\), wanted a jax.ShapeDtypeStruct"):
        check_environment(counter(observation=(3,)), jax.random.key(0))
