"""How episodes of games with lives begin and end: no-ops, the fire button, and a life as an episode."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_count, is_integer
from identax.dgp.environments.protocol import Environment, check_single, lost_game
from identax.dgp.environments.wrapping import acted_out, wrapped
from identax.rng import stream


class Lives(NamedTuple):
    """The inner state, whether the game itself has ended, and whether it did so while the episode was begun."""

    inner: Any
    over: Any
    lost: Any


def no_op_resets(environment: Environment, most: int = 30, *, action: int = 0) -> Environment:
    """Begins each episode with 1 to `most` no-ops, uniformly many, so that deterministic games begin differently.

    Their rewards are lost, as published. Raises `ValueError` for most < 1 and an action that the game has not.
    Source: Mnih et al. 2015.
    """
    check_single("no_op_resets", environment)
    check_count("no_op_resets", "most", most)
    _check_action("no_op_resets", environment, action)
    return acted_out(
        environment,
        lambda key: jax.random.randint(key, (), 1, most + 1, jnp.int32),
        lambda i: jnp.full((), action, jnp.int32),
    )


def fire_resets(environment: Environment, presses: tuple[int, ...] | None = None) -> Environment:
    """Presses buttons at the beginning of each episode, in games that wait for FIRE before the ball comes.

    `presses`: actions one after the other; None: the one called "fire", then action 2, as published. Rewards on the way
    are lost. Raises `ValueError` for a game whose actions are not named or without "fire" among them, for no presses
    at all and for actions that the game has not. Source: Mnih et al. 2016, code; Reizinger & Szemenyei 2020, code.
    """
    check_single("fire_resets", environment)
    if presses is None:
        if "fire" not in environment.actions:
            raise ValueError(
                f"fire_resets: found {environment.name} with actions {environment.actions}, wanted one with 'fire', or "
                "presses=(...) to say which actions begin a game"
            )
        presses = (environment.actions.index("fire"), 2)
    if not isinstance(presses, Sequence | np.ndarray) or isinstance(presses, str) or not len(presses):
        raise ValueError(
            f"fire_resets: found presses={presses!r}, wanted one action at least, (1, 2) for example, or None for FIRE "
            "and action 2"
        )
    for action in presses:
        _check_action("fire_resets", environment, action)
    buttons = jnp.asarray(presses, jnp.int32)
    return acted_out(environment, lambda key: jnp.full((), len(presses), jnp.int32), lambda i: buttons[i])


def episodic_life(environment: Environment) -> Environment:
    """Ends an episode with every life: `terminated` also where `info["life_lost"]`; the game goes on after a no-op.

    `info["game_over"]` says where the game itself ended, for returns of whole games. An episode that follows a lost
    life begins with action 0 in the game as it stands, or in a new game, should that no-op end it: `auto_reset` then
    says so with the step before. What ends an episode from outside, a time limit around this, is no end of the game:
    it goes on in the same way. Limit the game itself first: `episodic_life(time_limit(...))`.
    Raises `ValueError` for an environment without `info["life_lost"]`. Source: Mnih et al. 2015.
    """
    check_single("episodic_life", environment)
    _check_info("episodic_life", environment, "life_lost")

    def begin(start, key, state, params):
        no = jnp.zeros((), bool)
        if state is None:
            inner, observation = start(stream(key, "start"))
            return Lives(inner, no, no), observation
        onward = environment.step(stream(key, "onward"), state.inner, jnp.zeros((), jnp.int32), params)
        ended = onward.terminated | onward.truncated
        new = state.over | ended
        fresh = start(stream(key, "start"), new)
        after = onward.state, onward.observation
        inner, observation = jax.tree.map(lambda a, b: jax.lax.select(new, a, b), fresh, after)
        return Lives(inner, no, ~state.over & ended | new & lost_game(environment, fresh[0])), observation

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        over = found.terminated | found.truncated
        info = {"game_over": over, **found.info}
        # A life that is lost in the very step of a limit is lost: nothing follows it that a value could stand for.
        terminated = found.terminated | found.info["life_lost"]
        state = Lives(found.state, over, jnp.zeros((), bool))
        return found._replace(state=state, terminated=terminated, truncated=found.truncated & ~terminated, info=info)

    return wrapped(environment, begin=begin, step=step, lost_game=lambda state: state.lost)


def _check_action(where: str, environment: Environment, action: int) -> None:
    if not is_integer(action) or not 0 <= action < environment.num_actions:
        raise ValueError(
            f"{where}: found action {action!r}, wanted one of the {environment.num_actions} of {environment.name}"
        )


def _check_info(where: str, environment: Environment, name: str) -> None:
    """Raises `ValueError` unless steps have `info[name]`; nothing is compiled."""

    def one_step(key):
        state, _ = environment.reset(stream(key, "reset"), environment.params)
        return environment.step(stream(key, "step"), state, jnp.zeros((), jnp.int32), environment.params).info

    info = jax.eval_shape(one_step, jax.random.key(0))
    if name not in info:
        raise ValueError(f"{where}: found {environment.name} with info {sorted(info)}, wanted {name!r} among them")
