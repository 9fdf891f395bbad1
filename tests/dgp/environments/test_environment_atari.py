"""Atari's games in ale-py's emulator, where it is installed."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.environments import atari, check_environment, installed

ale = pytest.mark.skipif(not installed("ale_py"), reason="needs ale-py: pip install -e .[atari]")


def test_without_the_package_its_command_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ValueError, match=r"no package ale_py, .*pip install -e \.\[atari\]"):
        atari("pong", 1)


def _played(world, key, num_steps, policy=None):
    """Random actions in a compiled scan: the transitions, with the mean of each frame for the picture."""

    def small(frames):
        return frames.astype(jnp.float32).mean(axis=(1, 2))

    def one(state, key):
        actions = jax.random.randint(key, (world.batch,), 0, world.num_actions)
        found = world.step(key, state, actions, ())
        kept = found._replace(state=(), observation=small(found.observation), final_observation=())
        return found.state, kept

    state, first = world.reset(jax.random.fold_in(key, 0), ())
    return first, jax.lax.scan(one, state, jax.random.split(key, num_steps))[1]


@ale
@pytest.mark.slow
def test_breakout_in_a_scan(getkey):
    world = atari("breakout", 2, threads=1)
    assert world.actions == ("noop", "fire", "right", "left") and world.observation.shape == (84, 84, 4)
    played, key = jax.jit(lambda key: _played(world, key, 400)), getkey()
    first, found = played(key)
    assert first.shape == (2, 84, 84, 4) and first.dtype == jnp.uint8
    assert not first[..., :3].any() and first[..., 3].any()  # zeros before the first frame, oldest first
    again = played(key)
    for a, b in zip(jax.tree.leaves((first, found)), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)  # equal seeds, equal games

    over, masked, lost = (np.asarray(found.info[name]) for name in ("game_over", "masked", "life_lost"))
    assert over.any() and lost.sum() > 5
    np.testing.assert_array_equal(found.terminated, lost)  # a life is an episode; Breakout ends with the last one
    assert not found.truncated.any()
    # The step after a game shows its successor, those after a life press no-op, FIRE and action 2.
    for e in range(2):
        wanted = np.zeros(400, bool)
        for t in np.flatnonzero(lost[:, e]):
            wanted[t + 1 : t + 1 + (1 if over[t, e] else 3)] = True
        np.testing.assert_array_equal(masked[:, e], wanted)
    check_environment(world, getkey(), num_steps=40)
    resets = np.argwhere(over[:-1])
    for t, e in resets:
        assert not found.observation[t + 1, e, :3].any() and found.info["lives"][t + 1, e] == 5
        assert found.reward[t + 1, e] == 0
    np.testing.assert_array_equal(found.reward, np.sign(found.info["raw_reward"]))


@ale
@pytest.mark.slow
def test_trials_share_one_emulator_and_are_apart(getkey):
    world = atari("pong", 2, trials=2, threads=1)
    played = jax.jit(jax.vmap(lambda key: _played(world, key, 30)[1]))
    found = played(jax.random.split(getkey(), 2))
    assert found.reward.shape == (2, 30, 2)
    assert not np.array_equal(found.observation[0], found.observation[1])
    with pytest.raises(ValueError, match="mapped over 3 trials, wanted 2"):
        played(jax.random.split(getkey(), 3))


@ale
def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="did you mean 'breakout'"):
        atari("braekout", 1)
    with pytest.raises(ValueError, match="without FIRE"):
        atari("freeway", 1)
    assert atari("freeway", 1, fire_reset=False).actions == ("noop", "up", "down")
    with pytest.raises(ValueError, match="count=0"):
        atari("pong", 0)
    with pytest.raises(ValueError, match="sticky=2"):
        atari("pong", 1, sticky=2)
