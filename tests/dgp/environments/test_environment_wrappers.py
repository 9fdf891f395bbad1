"""Every wrapper switched on does what it says, and switched off leaves the world as it is."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.environments import (
    auto_reset,
    check_environment,
    clip_rewards,
    delayed_reward,
    episodic_life,
    fire_resets,
    frame_stack,
    no_op_resets,
    noisy_tv,
    normalise_observations,
    side_by_side,
    square84,
    sticky_actions,
    time_limit,
)
from identax.rng import stream
from tests.dgp.environments.counter import counter, play

ACTIONS = [1, 2, 0, 1, 2, 1, 1, 0, 2]


def _column(found, name):
    return [np.asarray(getattr(step, name)).tolist() for step in found]


def _info(found, name):
    return [np.asarray(step.info[name]).tolist() for step in found]


WRAPPED = {
    "frame_stack": lambda: frame_stack(counter(), 3),
    "sticky_actions": lambda: sticky_actions(counter()),
    "time_limit": lambda: time_limit(counter(), 4),
    "clip_rewards": lambda: clip_rewards(counter()),
    "delayed_reward": lambda: delayed_reward(counter()),
    "episodic_life": lambda: episodic_life(counter(lives=3)),
    "no_op_resets": lambda: no_op_resets(counter(), 3),
    "fire_resets": lambda: fire_resets(counter(), (1, 2)),
    "normalise_observations": lambda: normalise_observations(counter()),
    "noisy_tv": lambda: noisy_tv(counter(), channels=8),
    "all": lambda: frame_stack(
        clip_rewards(fire_resets(episodic_life(no_op_resets(sticky_actions(counter(lives=3)), 3)), (1, 2))), 2
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_wrapped_world_keeps_the_contract(name, getkey):
    check_environment(WRAPPED[name](), getkey(), num_steps=30, count=3)


def test_the_types_of_the_protocol_stay_in_float64(x64, getkey):
    world = delayed_reward(normalise_observations(sticky_actions(counter())))
    check_environment(world, getkey(), num_steps=5, count=2)


def test_frames_are_stacked_oldest_first_and_forgotten_with_the_episode():
    first, found = play(auto_reset(frame_stack(counter(ends=4), 3)), [1, 2, 1, 1])
    np.testing.assert_array_equal(first, [0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(found[1].observation, [0, 0, 1, 1, 3, 2])
    np.testing.assert_array_equal(found[2].final_observation, [1, 1, 3, 2, 4, 3])
    np.testing.assert_array_equal(found[3].observation, [0, 0, 0, 0, 1, 1])


def test_a_stack_of_one_frame_is_the_world():
    plain, stacked = (play(world, ACTIONS)[1] for world in (counter(), frame_stack(counter(), 1)))
    assert _column(plain, "observation") == _column(stacked, "observation")


def test_pictures_are_stacked_along_their_last_axis(getkey):
    world = frame_stack(square84(2), 2)
    assert world.observation.shape == (6, 6, 8) and world.observation.dtype == jnp.uint8
    _, seen = world.reset(getkey(), ())
    assert not seen[..., :4].any() and seen[..., 4:].any()


@pytest.mark.parametrize(("probability", "moved"), [(0.0, sum(ACTIONS)), (1.0, 0), (0, sum(ACTIONS)), (1, 0)])
def test_actions_stick_never_or_always(probability, moved):
    _, found = play(sticky_actions(counter(ends=99), probability), ACTIONS)
    assert int(found[-1].observation[0]) == moved  # the action before the first is 0


def test_actions_stick_with_their_probability(getkey):
    world = side_by_side(sticky_actions(counter(ends=10**6, cut=10**6), 0.25), 500)
    state, seen = world.reset(getkey(), world.params)
    stuck = []
    for action in (1, 0, 1, 0, 1, 0, 1, 0):  # the last action that was played is known from how far it moved
        found = world.step(getkey(), state, jnp.full(500, action), world.params)
        moved = np.asarray(found.observation[:, 0] - seen[:, 0])
        stuck.append((moved != action)[np.asarray(state.action) != action])
        state, seen = found.state, found.observation
    stuck = np.concatenate(stuck)
    assert abs(stuck.mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / len(stuck))


def test_time_limits_truncate_but_not_what_terminates():
    ends = list(
        zip(
            *(_column(play(time_limit(counter(ends=4), 3), [1, 1, 2])[1], n) for n in ("terminated", "truncated")),
            strict=True,
        )
    )
    assert ends == [(False, False), (False, False), (True, False)]
    found = play(time_limit(counter(ends=9), 3), [1, 1, 1])[1]
    assert _column(found, "truncated") == [False, False, True] and not any(_column(found, "terminated"))
    plain, late = (play(world, ACTIONS)[1] for world in (counter(ends=99), time_limit(counter(ends=99), 99)))
    assert _column(plain, "truncated") == _column(late, "truncated") == [False] * len(ACTIONS)
    found = play(auto_reset(time_limit(counter(ends=99), 2)), [1] * 5)[1]
    assert _column(found, "truncated") == [False, True, False, True, False]


def test_rewards_are_clipped_by_sign_and_kept_raw():
    world = counter(params=jnp.float32(-1.0))
    plain, clipped = (play(world, [1, 2, 0])[1] for world in (auto_reset(world), auto_reset(clip_rewards(world))))
    assert _column(plain, "reward") == _info(plain, "raw_reward") == _info(clipped, "raw_reward") == [-3.0, -7.0, -7.0]
    assert _column(clipped, "reward") == [-1.0, -1.0, -1.0]
    nothing = play(clip_rewards(counter(params=jnp.float32(0))), [1])[1]
    assert _column(nothing, "reward") == [0.0]


def test_delayed_rewards_are_paid_at_either_end_in_full():
    for world in (counter(ends=3), counter(ends=99, cut=3)):
        found = play(auto_reset(delayed_reward(world)), [1, 1, 1, 1])[1]
        assert _column(found, "reward") == [0.0, 0.0, 15.0, 0.0]
        assert _info(found, "raw_reward") == [3.0, 5.0, 7.0, 3.0]
    at_once = play(delayed_reward(counter(cut=1)), [1])[1]
    assert _column(at_once, "reward") == [3.0]


def test_a_life_is_an_episode_and_the_game_goes_on():
    first, found = play(auto_reset(episodic_life(counter(ends=3, lives=2))), [1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(first, [0, 0])
    assert _column(found, "terminated") == [False, False, True, False, False, True]
    assert _info(found, "game_over") == [False, False, False, False, False, True]
    np.testing.assert_array_equal(found[2].final_observation, [3, 3])
    np.testing.assert_array_equal(found[2].observation, [3, 4])  # after one no-op in the same game
    np.testing.assert_array_equal(found[5].observation, [0, 0])  # a new game
    plain = play(auto_reset(counter(ends=3, lives=2)), [1, 1, 1, 1, 1, 1])[1]
    assert _column(plain, "terminated") == [False, False, False, False, False, True]
    assert _info(plain, "game_over") == _column(plain, "terminated")


def test_a_life_lost_in_the_step_of_a_limit_is_lost_whoever_limits():
    """Nothing follows a lost life that a value could stand for."""
    game = counter(ends=3, lives=2)
    for world in (episodic_life(time_limit(game, 3)), time_limit(episodic_life(game), 3)):
        found = play(world, [1, 1, 1])[1]
        assert _column(found, "terminated") == [False, False, True]
        assert _column(found, "truncated") == [False, False, False]
    found = play(episodic_life(time_limit(game, 2)), [1, 1])[1]
    assert _column(found, "truncated") == [False, True] and not any(_column(found, "terminated"))


def test_a_no_op_that_ends_the_game_begins_a_new_one():
    found = play(auto_reset(episodic_life(counter(ends=3, lives=2, cut=4))), [1, 1, 1])[1]
    assert _column(found, "terminated") == [False, False, True]
    np.testing.assert_array_equal(found[2].observation, [0, 0])  # the no-op would have been the fourth step
    assert _info(found, "game_over") == [False, False, True]


def test_games_that_end_unseen_are_counted_once_each():
    def games(world, num_steps=24):
        found = play(auto_reset(world), [1] * num_steps)[1]
        times = [int(step.observation[1]) for step in found]  # of a game; falls where another one begins
        new = [after <= before for before, after in itertools.pairwise([0, *times])]
        assert _info(found, "game_over") == new, (_info(found, "game_over"), times)
        return sum(new)

    lives = {"ends": 3, "lives": 3}
    assert games(episodic_life(counter(**lives))) == 2
    assert games(episodic_life(counter(**lives, cut=4))) == 8  # by the no-op behind every first life
    assert games(fire_resets(episodic_life(counter(**lives)), (1, 1))) == 8  # three steps of the agent each
    assert games(fire_resets(episodic_life(counter(**lives, cut=7)), (2,))) == 8
    assert games(frame_stack(fire_resets(episodic_life(counter(**lives, cut=7)), (2,)), 1)) == 8
    assert games(episodic_life(fire_resets(counter(**lives), (2,)))) == 3
    assert (games(counter(**lives)), games(fire_resets(counter(**lives), (1,)))) == (2, 3)


def test_a_lost_life_in_the_presses_is_not_the_game_s_end():
    world = fire_resets(episodic_life(counter(ends=3, lives=3)), (2, 2, 0))
    first, found = play(auto_reset(world), [1, 1])
    # Two presses cost the first life; after a no-op the last press comes, in the same game.
    np.testing.assert_array_equal(first, [4, 4])
    assert _info(found, "lives") == [2, 1]


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (lambda world: no_op_resets(world, 1), [0, 1]),
        (lambda world: fire_resets(world, (2, 1)), [3, 2]),
        (lambda world: frame_stack(fire_resets(world, (2, 1)), 1), [3, 2]),
    ],
)
def test_every_episode_begins_alike_whoever_ended_it(make, first):
    game = counter(ends=99)
    for world in (time_limit(make(game), 2), make(time_limit(game, 4))):
        begun, found = play(auto_reset(world), [1] * 8)
        firsts = [np.asarray(step.observation).tolist() for step in found if step.truncated]
        assert firsts == [first] * len(firsts) and len(firsts) >= 2
        np.testing.assert_array_equal(begun, first)


def test_games_begin_with_random_no_ops(getkey):
    plain = side_by_side(counter(ends=10**6), 400)
    assert not np.asarray(plain.reset(getkey(), 1.0)[1]).any()
    world = side_by_side(no_op_resets(counter(ends=10**6), 4), 400)
    times = np.asarray(world.reset(getkey(), 1.0)[1][:, 1])
    counts = np.bincount(times.astype(int), minlength=5)
    assert counts[0] == 0 and (np.abs(counts[1:] - 100) < 6 * np.sqrt(400 * 3 / 16)).all()


def test_no_ops_come_again_after_an_end_and_not_before():
    found = play(auto_reset(no_op_resets(counter(ends=3), 1)), [1, 1, 1, 1])[1]
    assert [step.observation.tolist() for step in found] == [[1.0, 2.0], [2.0, 3.0], [0.0, 1.0], [1.0, 2.0]]


def test_fire_is_pressed_at_the_beginning():
    world = counter(ends=8, actions=("no-op", "fire", "right"))
    first, found = play(auto_reset(fire_resets(world)), [1, 2, 2, 1])
    np.testing.assert_array_equal(first, [3, 2])  # fire, then action 2
    np.testing.assert_array_equal(found[2].final_observation, [8, 5])
    np.testing.assert_array_equal(found[2].observation, [3, 2])
    np.testing.assert_array_equal(found[3].observation, [4, 3])
    np.testing.assert_array_equal(play(fire_resets(world, (2,)), [])[0], [2, 1])
    np.testing.assert_array_equal(play(world, [])[0], [0, 0])


def test_a_game_that_ends_on_the_way_begins_again():
    np.testing.assert_array_equal(play(fire_resets(counter(ends=2), (1, 1, 1)), [])[0], [1, 1])


def test_presses_follow_a_lost_life_too():
    world = fire_resets(episodic_life(counter(ends=3, lives=2)), (1,))
    found = play(auto_reset(world), [1, 1])[1]
    np.testing.assert_array_equal(found[1].final_observation, [3, 3])
    np.testing.assert_array_equal(found[1].observation, [4, 5])  # a no-op of the life, then the press


def test_observations_are_normalised_by_what_was_seen():
    world, seen = normalise_observations(counter(ends=4), clip=1.2), [[0.0, 0.0]]
    first, found = play(auto_reset(world), [1, 2, 1, 2, 0])
    np.testing.assert_array_equal(first, [0, 0])
    wanted = []
    for step in play(auto_reset(counter(ends=4)), [1, 2, 1, 2, 0])[1]:
        seen.append(np.asarray(step.final_observation))
        scaled = (seen[-1] - np.mean(seen, axis=0)) / np.sqrt(np.var(seen, axis=0) + 1e-8)
        wanted.append(np.clip(scaled, -1.2, 1.2))
        if step.terminated:
            seen.append(np.asarray(step.observation))  # the statistics outlive the episode
    np.testing.assert_allclose([step.final_observation for step in found], wanted, rtol=1e-5, atol=1e-6)
    assert np.max(wanted) == 1.2


def test_an_offset_takes_no_digits_from_normalised_observations(x64):
    def world(offset):
        plain = counter(ends=9, observation=jax.ShapeDtypeStruct((2,), jnp.float64))

        def moved(step):
            return step._replace(observation=step.observation.astype(float) + offset)

        return dataclasses.replace(
            plain,
            reset=lambda key, params: (plain.reset(key, params)[0], jnp.full(2, offset, float)),
            step=lambda *given: moved(plain.step(*given)),
        )

    near, far = (play(normalise_observations(world(offset)), ACTIONS)[1] for offset in (0.0, 1e12))
    np.testing.assert_array_equal(_column(near, "observation"), _column(far, "observation"))
    assert far[-1].observation.dtype == jnp.float32 and np.abs(far[-1].observation).min() > 0.1


def test_the_television_shows_pictures_that_nothing_predicts(getkey):
    world = noisy_tv(counter(ends=10**6, cut=10**6), channels=4, rows=3)
    assert world.observation.shape == (5,)
    many = side_by_side(world, 200)
    state, _ = many.reset(getkey(), 1.0)
    channels = []
    for _ in range(5):
        found = many.step(getkey(), state, jnp.ones(200, jnp.int32), 1.0)
        state = found.state
        channels.append(np.asarray(state.channel))
    counts = np.bincount(np.concatenate(channels), minlength=4)
    assert (np.abs(counts - 250) < 6 * np.sqrt(1000 * 3 / 16)).all()
    pairs = np.bincount(4 * channels[-2] + channels[-1], minlength=16)
    assert (np.abs(pairs - 200 / 16) < 6 * np.sqrt(200 * 15 / 256)).all()
    pictures = {int(c): tuple(seen) for c, seen in zip(channels[-1], np.asarray(found.observation[:, 2:]), strict=True)}
    assert all(
        pictures[int(c)] == tuple(s) for c, s in zip(channels[-1], np.asarray(found.observation[:, 2:]), strict=True)
    )
    np.testing.assert_array_equal(found.observation[:, 0], 5)  # the world goes on as it did


def test_the_television_is_as_bright_as_the_world():
    for world, bright in ((square84(4), 255), (counter(), 1)):
        single = noisy_tv(world, channels=3, rows=8)
        _, seen = single.reset(jax.random.key(0), single.params)
        assert seen.dtype == world.observation.dtype and set(np.unique(np.asarray(seen[-8:]))) == {0, bright}


def test_the_television_leaves_the_world_alone_and_multiplies_its_states():
    plain = play(counter(), ACTIONS)[1]
    found = play(noisy_tv(counter(), channels=8), ACTIONS)[1]
    assert _column(plain, "reward") == _column(found, "reward")
    assert _column(plain, "observation") == [seen[:2] for seen in _column(found, "observation")]
    cells = [int(step.info["cell"]) for step in found]
    assert [cell // 8 for cell in cells] == _info(plain, "cell")
    assert [cell % 8 for cell in cells] == [int(step.state.channel) for step in found]
    assert noisy_tv(counter(), channels=8).num_states == 8 * counter().num_states
    single = noisy_tv(counter(), channels=8, counted=False)
    assert _info(play(single, ACTIONS)[1], "cell") == _info(plain, "cell") and single.num_states == counter().num_states


def test_the_remote_control_changes_the_channel():
    found = play(noisy_tv(counter(), channels=10**6, action=2), ACTIONS)[1]
    channels = [int(step.state.channel) for step in found]
    changed = [a != b for a, b in itertools.pairwise(channels)]
    assert changed == [action == 2 for action in ACTIONS[1:]]


def test_wrappers_draw_apart_from_the_world():
    """A wrapper that draws hands the world another key: the two are independent."""
    key = jax.random.key(0)
    keys = [jax.random.key_data(stream(key, name)).tolist() for name in ("sticky", "world", "television", "start")]
    assert len({tuple(found) for found in keys}) == 4


SCALAR = counter(observation=jax.ShapeDtypeStruct((), jnp.float32))
REFUSED = {
    "count=0": lambda: frame_stack(counter(), 0),
    "scalar observations": lambda: frame_stack(SCALAR),
    "scalar observations ": lambda: noisy_tv(SCALAR),
    "probability=1.5": lambda: sticky_actions(counter(), 1.5),
    "steps=0": lambda: time_limit(counter(), 0),
    "life_lost": lambda: episodic_life(square84(2)),
    "most=0": lambda: no_op_resets(counter(), 0),
    "action 3": lambda: no_op_resets(counter(), action=3),
    "with 'fire'": lambda: fire_resets(counter()),
    "action 3 ": lambda: fire_resets(counter(), (1, 3)),
    r"found presses=\(\), wanted one action": lambda: fire_resets(counter(), ()),
    "found presses=1, wanted one action": lambda: fire_resets(counter(), 1),
    "found presses='fire', wanted": lambda: fire_resets(counter(), "fire"),
    "clip=0": lambda: normalise_observations(counter(), clip=0),
    "channels=0": lambda: noisy_tv(counter(), channels=0),
    "action=3": lambda: noisy_tv(counter(), action=3),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused(message):
    with pytest.raises(ValueError, match=message.strip()):
        REFUSED[message]()
