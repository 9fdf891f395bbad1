"""What an environment is: pure functions of keys, states and actions, of one environment; `vmap` makes many of it.

An episode ends in one of two ways that are never both true. It is `terminated` when the world ended, so that nothing
follows and the value of what follows is 0; it is `truncated` when only the watching ended (a time limit), so that the
value of the last observation still counts. Libraries disagree about this and about who resets: here an environment
never resets by itself, `auto_reset` makes one that does.

What `info` may hold, each an array of the same shape in every step:

| name | type | what |
|---|---|---|
| `cell` | integer | number of the new state in 0..num_states-1, where states are discrete |
| `lives` | integer | lives left |
| `life_lost` | boolean | whether this step cost one |
| `raw_reward` | float32 | the reward before any wrapper changed it |
| `game_over` | boolean | whether the whole game ended, not only a life that a wrapper treats as an episode |
| `masked` | boolean | whether the step is no transition but a reset that takes a step: weight 0 in every loss |
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.checks import check_count, check_type
from identax.rng import stream

OF_GAMES = frozenset({"raw_reward", "game_over"})
"""what `info` of a world that resets itself always holds: without it no game's return is known"""


class Timestep(NamedTuple):
    """One step of one environment: the new `state`, the true next `observation`, also where the episode ended.

    `reward` is float32 and raw; `terminated` and `truncated` are booleans, at most one of them true; `info` see the
    module.
    """

    state: Any
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]


class Transition(NamedTuple):
    """One step of an environment that resets itself: `observation` is the one to act on next.

    `final_observation` is the true next one: that of the old episode's end where it ended, else `observation`. Values
    after a truncation and models of what follows an action are taken there, never at `observation`.
    """

    state: Any
    observation: Any
    final_observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Environment:
    """A world to act in. All functions are pure, of one environment unless `batch` says how many stand side by side.

    Equal to itself alone, so that it may be a static argument of compiled functions.
    """

    name: str
    num_actions: int
    """actions are whole numbers 0..num_actions-1"""
    observation: jax.ShapeDtypeStruct
    """shape and type of the observation of one environment"""
    params: Any
    """default parameters: a pytree of arrays, which may be traced"""
    reset: Callable[..., tuple[Any, Any]]
    """`reset(key, params) -> (state, observation)`"""
    step: Callable[..., Any]
    """`step(key, state, action, params) -> Timestep`, or `-> Transition` where `resets`"""
    actions: tuple[str, ...] = ()
    """names of the actions, where they are known"""
    num_states: int | None = None
    """how many values `info["cell"]` has; None where states are not counted"""
    restart: Callable[..., tuple[Any, Any]] | None = None
    """`restart(key, state, params, ended)`: the next episode after one that ended in `state`, for what outlives an
    episode (the other lives of a game, running statistics); None: `reset`. Of many side by side all are asked whenever
    one ends: where not `ended` the result is dropped, and nothing long is to be done for it"""
    lost_game: Callable[..., Any] | None = None
    """`lost_game(state)`, of an episode that begins: whether a game ended while it was begun, in steps that nobody
    sees; None: there are none"""
    resets: bool = False
    """whether `step` begins the next episode itself"""
    batch: int | None = None
    """number of environments side by side: the leading axis of states, observations, actions, rewards and ends"""


def auto_reset(environment: Environment) -> Environment:
    """The same world, whose step begins the next episode in the step that ended the last: `step -> Transition`.

    The final observation of the old episode is kept beside the first one of the new. `info` always holds `raw_reward`
    and `game_over`: a whole game's return is the sum of the first up to the second. A game that ends unseen, in the
    no-op after a lost life or in presses before the agent's turn, is over with the step before.
    Raises `ValueError` for an environment that resets itself already.
    """
    check_single("auto_reset", environment)

    def step(key, state, action, params):
        found = environment.step(stream(key, "step"), state, action, params)
        ended = found.terminated | found.truncated
        begun = begin_next(environment, stream(key, "reset"), found.state, params, ended)
        after = found.state, found.observation
        state, observation = jax.tree.map(lambda new, old: jax.lax.select(ended, new, old), begun, after)
        over = found.info.get("game_over", ended) | (ended & lost_game(environment, begun[0]))
        info = {"raw_reward": found.reward, **found.info, "game_over": over}
        return Transition(state, observation, found.observation, found.reward, found.terminated, found.truncated, info)

    return dataclasses.replace(environment, step=step, restart=None, lost_game=None, resets=True)


def begin_next(environment: Environment, key: Any, state: Any, params: Any, ended: Any) -> tuple[Any, Any]:
    """State and observation of the episode that follows one which ended in `state`; any where it has not `ended`."""
    if environment.restart is None:
        return environment.reset(key, params)
    return environment.restart(key, state, params, ended)


def lost_game(environment: Environment, state: Any) -> Any:
    """Whether a game ended, unseen, while the episode that begins in `state` was begun."""
    return jnp.zeros((), bool) if environment.lost_game is None else environment.lost_game(state)


def side_by_side(environment: Environment, count: int) -> Environment:
    """`count` independent environments that reset themselves, as one: `reset` and `step` take one key for all.

    States, observations, actions [count], rewards and ends have a leading axis; `params` are shared.
    Raises `ValueError` for count < 1, what is no `Environment`, and one that is many already.
    """
    check_type("side_by_side", "environment", environment, Environment)
    check_count("side_by_side", "count", count)
    if environment.batch is not None:
        raise ValueError(f"side_by_side: found {environment.name} of {environment.batch} environments, wanted one")
    single = environment if environment.resets else auto_reset(environment)

    def reset(key, params):
        return jax.vmap(single.reset, (0, None))(jax.random.split(key, count), params)

    def step(key, state, action, params):
        return jax.vmap(single.step, (0, 0, 0, None))(jax.random.split(key, count), state, action, params)

    return dataclasses.replace(single, reset=reset, step=step, batch=count)


def check_single(where: str, environment: Environment) -> None:
    """Raises `ValueError` for many environments side by side and for one that resets itself: wrap before, not after.

    And for what is no `Environment`, such as the name of one.
    """
    check_type(where, "environment", environment, Environment)
    if environment.batch is not None:
        raise ValueError(f"{where}: found {environment.name} of {environment.batch} environments, wanted one")
    if environment.resets:
        raise ValueError(f"{where}: found {environment.name}, which resets itself, wanted one that does not")


def as_timestep(
    state: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: dict[str, Any]
) -> Timestep:
    """A step in the types of the protocol: float32 rewards, booleans, and no truncation of what terminated."""
    terminated = jnp.asarray(terminated, bool)
    truncated = jnp.asarray(truncated, bool) & ~terminated
    return Timestep(state, observation, jnp.asarray(reward, jnp.float32), terminated, truncated, info)
