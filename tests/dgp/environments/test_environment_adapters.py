"""Games of other libraries behind the protocol, where they are installed; without them, what to install."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.environments import (
    ENVIRONMENTS,
    auto_reset,
    check_environment,
    environment,
    installed,
    side_by_side,
    time_limit,
)
from identax.dgp.environments import optional as optional_packages
from identax.dgp.environments.gymnax_games import ACTIONS
from identax.rng import stream
from tests.dgp.environments.counter import play

gymnax = pytest.mark.skipif(not installed("gymnax"), reason="needs gymnax: pip install -e .[rl]")
xminigrid = pytest.mark.skipif(not installed("xminigrid"), reason="needs xminigrid: pip install -e .[rl]")
octax = pytest.mark.skipif(not (installed("octax") and installed("cv2")), reason="needs pip install -e .[octax]")
SMALL = ("Breakout-MinAtar", "DeepSea-bsuite", "FourRooms-misc")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ACTIONS if name not in SMALL]


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'Breakout-MinAtar'"):
        environment("Braekout-MinAtar")
    assert "MNISTBandit-bsuite" not in ENVIRONMENTS  # it downloads when it is made


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("Pong-misc", "gymnax", "rl"), ("MiniGrid-Empty-6x6", "xminigrid", "rl"), ("octax-ufo", "octax", "octax")],
)
def test_a_missing_package_comes_with_its_command(name, package, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert not optional_packages.installed(package)
    with pytest.raises(ValueError, match=rf"no package {package}, .*pip install -e \.\[{extra}\]"):
        environment(name, unknown=f"not cached {package}")


def test_options_that_no_game_has_are_refused():
    with pytest.raises(ValueError, match=r"options \['size'\], wanted any of \['block'\]"):
        environment("square84", size=3)
    with pytest.raises(ValueError, match=r"found block=\[3\], wanted a number"):
        environment("square84", block=[3])


@gymnax
@xminigrid
@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("DeepSea-bsuite", "size", 0),
        ("Pong-misc", "max_steps_in_episode", 0),
        ("MiniGrid-Empty-5x5", "max_steps", -1),
    ],
)
def test_sizes_and_limits_are_counts(name, option, value):
    with pytest.raises(ValueError, match=f"{option}={value}, wanted"):
        environment(name, **{option: value})


@gymnax
@pytest.mark.parametrize("name", [*SMALL, *SLOW])
def test_games_of_gymnax_keep_the_contract(name, getkey):
    check_environment(environment(name), getkey(), num_steps=60)
    assert len(ACTIONS[name]) in (0, environment(name).num_actions)


@gymnax
def test_options_reach_the_game():
    world = environment("DeepSea-bsuite", size=3)
    assert world is environment("DeepSea-bsuite", size=3) and world.observation.shape == (3, 3)
    assert world.num_states == 12
    assert int(environment("Breakout-MinAtar", max_steps_in_episode=7).params.max_steps_in_episode) == 7
    maps = [
        np.asarray(
            environment("DeepSea-bsuite", size=5, action_mapping_key=i)
            .reset(jax.random.key(0), world.params)[0]
            .action_mapping
        )
        for i in (0, 1)
    ]
    assert (maps[0] != maps[1]).any()
    with pytest.raises(ValueError, match=r"found options \['length'\], wanted any of .*'size'"):
        environment("DeepSea-bsuite", length=3)
    with pytest.raises(ValueError, match=r"found options \{'action_mapping_key': 'x'\}, which the game does not take"):
        environment("DeepSea-bsuite", action_mapping_key="x")


@gymnax
def test_the_way_through_the_deep_sea(getkey):
    """N right moves pay 1 - .01; the last step is terminated alone, though gymnax truncates it too."""
    size = 4
    world = environment("DeepSea-bsuite", size=size)
    state, _ = world.reset(getkey(), world.params)
    rewards, cells, ends = [], [], []
    for i in range(size):
        found = world.step(getkey(), state, state.action_mapping[i, i], world.params)
        state = found.state
        rewards.append(float(found.reward))
        cells.append(int(found.info["cell"]))
        ends.append((bool(found.terminated), bool(found.truncated)))
    assert sum(rewards) == pytest.approx(0.99, abs=1e-6)
    assert cells == [5, 10, 15, 19]  # the last column is the wall of the last row too
    assert ends == [(False, False)] * 3 + [(True, False)]
    assert not np.asarray(found.observation).any()


@gymnax
def test_a_time_limit_of_gymnax_truncates(getkey):
    world = auto_reset(environment("FourRooms-misc", max_steps_in_episode=3))
    _, found = play(world, [0] * 4)
    assert [bool(step.truncated) for step in found] == [False, False, True, False]
    assert not any(bool(step.terminated) for step in found)
    np.testing.assert_array_equal(found[2].observation, [4, 1, 8, 9])  # fixed start and goal


@gymnax
def test_steps_are_those_of_gymnax(getkey):
    import gymnax as library  # pyright: ignore[reportMissingImports]

    name = "Breakout-MinAtar"
    world, (game, params) = environment(name), library.make(name)
    key = getkey()
    state, seen = world.reset(key, world.params)
    theirs, other = game.reset_env(key, params)[::-1]
    np.testing.assert_array_equal(seen, other)
    for i in range(6):
        key, action = getkey(), jnp.asarray(i % 3, jnp.int32)
        found = world.step(key, state, action, world.params)
        other, theirs, reward, terminated, _ = game.step_env(key, theirs, action, params)
        state = found.state
        np.testing.assert_array_equal(found.observation, other)
        assert float(found.reward) == float(reward) and bool(found.terminated) == bool(terminated)


@gymnax
@pytest.mark.slow
def test_random_play_of_breakout_is_as_calibrated(getkey):
    """Random return .41 and length about 10, of the calibration with 256 environments."""
    world = side_by_side(environment("Breakout-MinAtar"), 256)

    def one(state, key):
        actions = jax.random.randint(stream(key, "actions"), (256,), 0, 3)
        found = world.step(stream(key, "step"), state, actions, world.params)
        return found.state, (found.reward.sum(), found.info["game_over"].sum())

    state, _ = world.reset(getkey(), world.params)
    rewards, ends = jax.jit(lambda state, keys: jax.lax.scan(one, state, keys)[1])(
        state, jax.random.split(getkey(), 2000)
    )
    assert 0.36 < rewards.sum() / ends.sum() < 0.46
    assert 8 < 256 * 2000 / ends.sum() < 12


@xminigrid
@pytest.mark.parametrize(
    "name",
    [
        "MiniGrid-Empty-5x5",
        *(
            pytest.param(f"MiniGrid-{kind}", marks=pytest.mark.slow)
            for kind in ("DoorKey-8x8", "FourRooms", "MemoryS8")
        ),
    ],
)
def test_worlds_of_minigrid_keep_the_contract(name, getkey):
    check_environment(environment(name), getkey(), num_steps=40)


@xminigrid
def test_the_way_through_an_empty_room(getkey):
    """Two forward, turn, two forward: the reward is 1 - .9 t / T at the goal, which terminates."""
    world = environment("MiniGrid-Empty-5x5", max_steps=20)
    state, seen = world.reset(getkey(), world.params)
    assert seen.shape == (7, 7, 2) and seen.dtype == jnp.uint8
    goes = jax.jit(world.step)
    direction = int(state.state.agent.direction)
    # up, right, down, left are 0 to 3: the agent faces right or down at the upper left corner
    turn = {1: 1, 2: 2}[direction]
    steps = []
    for action in (0, 0, turn, 0, 0):
        steps.append(goes(getkey(), state, jnp.asarray(action), ()))
        state = steps[-1].state
    assert [bool(step.terminated) for step in steps] == [False] * 4 + [True]
    assert float(steps[-1].reward) == pytest.approx(1 - 0.9 * 5 / 20)
    cells = [int(step.info["cell"]) for step in steps]
    assert len(set(cells)) == 5 and max(cells) < world.num_states == 100


@xminigrid
def test_minigrid_truncates_at_its_limit_and_shows_the_last_observation(getkey):
    world = auto_reset(environment("MiniGrid-Empty-5x5", max_steps=3, one_hot=True))
    assert world.observation.shape == (7, 7, 25)
    _, found = play(world, [1, 1, 1, 1])
    assert [bool(step.truncated) for step in found] == [False, False, True, False]
    assert not np.array_equal(found[2].observation, found[2].final_observation)
    np.testing.assert_array_equal(found[0].observation.sum(axis=-1), 2)
    with pytest.raises(ValueError, match=r"options \['size'\]"):
        environment("MiniGrid-Empty-5x5", size=3)


@octax
@pytest.mark.slow
def test_a_game_of_octax_keeps_the_contract(getkey):
    world = environment("octax-pong")
    assert world.num_actions == 3 and world.observation.shape == (32, 64, 4)
    check_environment(time_limit(world, 5), getkey(), num_steps=8, count=2)
