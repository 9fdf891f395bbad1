"""Atari's games in the emulator of ale-py, many side by side, behind our protocol.

ale-py is licensed under the GPL 2.0 alone and brings the games' files with it: an extra of its own.

The emulator lies outside JAX: the state of a game is no array. So a study on it is not resumed bit for bit (its games
begin anew), and what an environment shows depends on the order of calls, not on its arguments alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from identax.checks import check_between, check_choice, check_count
from identax.dgp.environments.optional import required
from identax.dgp.environments.protocol import Environment, Transition

FRAMES = 4
"""stacked in an observation, and played for one action"""


NO_OP = 0
SECOND = 2
"""the button after FIRE at the beginning of an episode, as published"""


class Emulated(NamedTuple):
    """What is known of the games here, each [E].

    `over`: whether the last step ended the game, so that the next one resets it; `lives`; `pressed`: how many of the
    buttons that follow a lost life are still to come.
    """

    over: Any
    lives: Any
    pressed: Any


def atari(
    game: str,
    count: int,
    *,
    trials: int = 1,
    sticky: float | int = 0.0,
    episodic_life: bool = True,
    fire_reset: bool = True,
    no_ops: int = 30,
    clip: bool = True,
    threads: int = 0,
) -> Environment:
    """`count` games side by side, preprocessed as usual, that reset themselves in a step of their own.

    Four frames an action, of which the last two are maximised; grey, 84 x 84, the last four along the last axis, oldest
    first: uint8 [count, 84, 84, 4]. 1 to `no_ops` no-ops and FIRE at the beginning of a game, an episode with every
    life, rewards by their sign with `info["raw_reward"]` beside. `sticky` .25 is the "v0" of the published games,
    0 the "v4".

    A reset takes a step of its own: the step after the end of a game ignores its action, pays nothing and shows the
    first observation of the next. After a lost life the game goes on (ale-py's own `episodic_life` begins a new one),
    with a no-op and, with `fire_reset`, FIRE and action 2 in the place of the agent's actions. All these steps are
    `info["masked"]`: no weight in any loss, and recurrent memory begins anew after them. `info["game_over"]` is the end
    of all lives, and the sum of `raw_reward` up to there a game's return.

    With `trials` S the environment is mapped (`jax.vmap`) over exactly S trials, whose S `count` games are one
    emulator; it cannot be mapped otherwise. Each environment made by this function is an emulator of its own: evaluate
    on another one than you train on.

    Raises `ValueError` without ale-py, for a game that it has not (with the nearest name), `fire_reset` of a game
    without FIRE, count, trials or no_ops < 1 and a probability outside [0, 1].
    Source: Bellemare et al. 2013; Mnih et al. 2015; Machado et al. 2018; Reizinger & Szemenyei 2020, code.
    """
    ale = required("atari", "ale_py")
    required("atari", "gymnasium")
    check_choice("atari", "game", game, tuple(ale.roms.get_all_rom_ids()))
    for name, number in (("count", count), ("trials", trials), ("no_ops", no_ops)):
        check_count("atari", name, number)
    check_between("atari", "sticky", sticky, 0, 1, shape=())
    emulator = ale.vector_env.AtariVectorEnv(
        game,
        count * trials,
        repeat_action_probability=float(sticky),
        frameskip=FRAMES,
        stack_num=FRAMES,
        noop_max=no_ops,
        episodic_life=False,
        reward_clipping=False,
        use_fire_reset=fire_reset,
        num_threads=threads,
    )
    actions = tuple(action.name.lower() for action in emulator.ale.get_action_set())
    if fire_reset and "fire" not in actions:
        raise ValueError(f"atari: found {game} with actions {actions}, wanted fire_reset=False for a game without FIRE")
    begin, play = _calls(emulator, count, trials)
    buttons = [NO_OP, *((actions.index("fire"), SECOND) if fire_reset else ())]
    follow = jnp.asarray([NO_OP, *reversed(buttons)], jnp.int32)  # by how many are still to come

    def reset(key, params):
        del params
        seeds = jax.random.randint(key, (count,), 0, 2**31 - 1, jnp.int32)
        observation, lives = begin(seeds)
        return Emulated(jnp.zeros((count,), bool), lives, jnp.zeros((count,), jnp.int32)), _channels_last(observation)

    def step(key, state, action, params) -> Transition:
        del key, params
        pressing = state.pressed > 0
        played = jnp.where(pressing, follow[state.pressed], jnp.asarray(action, jnp.int32))
        observation, reward, over, cut, lives = play(played)
        observation = _channels_last(observation)
        raw = reward.astype(jnp.float32)
        cut = cut & ~over
        lost = (lives < state.lives) & ~state.over
        ends = over | cut
        life_ends = lost & episodic_life
        goes_on = life_ends & ~ends
        pressed = jnp.where(goes_on, len(buttons), jnp.where(ends, 0, jnp.maximum(state.pressed - 1, 0)))
        info = {
            "raw_reward": raw,
            "game_over": ends,
            "lives": lives,
            "life_lost": lost,
            "masked": state.over | pressing,
        }
        reward = jnp.sign(raw) if clip else raw
        after = Emulated(ends, lives, pressed)
        return Transition(after, observation, observation, reward, over | life_ends, cut & ~life_ends, info)

    return Environment(
        name=game,
        num_actions=len(actions),
        observation=jax.ShapeDtypeStruct((84, 84, FRAMES), jnp.uint8),
        params=(),
        reset=reset,
        step=step,
        actions=actions,
        resets=True,
        batch=count,
    )


def _channels_last(frames: Any) -> Any:
    return jnp.moveaxis(frames, 1, -1)


def _calls(emulator: Any, count: int, trials: int) -> tuple[Any, Any]:
    """`begin(seeds)` and `play(actions)` of the emulator: of all trials at once where they are mapped."""
    handle, reset, step = emulator.xla()

    def begin_all(seeds):
        _, (observation, info) = reset(handle, seeds)
        return observation, info["lives"]

    def play_all(actions):
        _, (observation, reward, terminated, truncated, info) = step(handle, actions)
        return observation, reward, terminated, truncated, info["lives"]

    return _joined(begin_all, count, trials), _joined(play_all, count, trials)


def _joined(call: Any, count: int, trials: int) -> Any:
    """`call` of [trials count] as a function of [count] that is mapped over the trials.

    Not mapped, all trials do the same and the first is seen: JAX traces that before it knows of the mapping.
    """

    @custom_vmap
    def one(given):
        return jax.tree.map(lambda leaf: leaf[:count], call(jnp.tile(given, trials)))

    @one.def_vmap
    def all_of_them(axis_size, in_batched, given):
        if axis_size != trials or not in_batched[0]:
            raise ValueError(f"atari: found a call mapped over {axis_size} trials, wanted {trials}, as was said")
        found = call(given.reshape(trials * count))
        found = jax.tree.map(lambda leaf: leaf.reshape(trials, count, *leaf.shape[1:]), found)
        return found, jax.tree.map(lambda leaf: True, found)

    return one
