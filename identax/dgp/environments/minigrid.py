"""MiniGrid's worlds of xminigrid 0.9.3 behind our protocol: sparse reward, drawn anew for each episode."""

from typing import Any

import jax
import jax.numpy as jnp

from identax.checks import check_count
from identax.dgp.environments.optional import required
from identax.dgp.environments.protocol import Environment, Timestep, as_timestep

MINIGRIDS = (
    *(
        f"MiniGrid-{kind}-{size}"
        for kind in ("DoorKey", "Empty", "EmptyRandom")
        for size in ("5x5", "6x6", "8x8", "16x16")
    ),
    *(f"MiniGrid-{name}" for name in ("BlockedUnlockPickUp", "FourRooms", "LockedRoom", "Unlock", "UnlockPickUp")),
    *(f"MiniGrid-MemoryS{size}" for size in (8, 16, 32, 64, 128)),
)
_ACTIONS = ("forward", "turn right", "turn left", "pick up", "put down", "toggle")
_DIRECTIONS = 4


def minigrid(name: str, *, one_hot: bool = False, **options: Any) -> Environment:
    """A world of xminigrid. The reward is 1 - .9 t / T at the goal in step t of T, else 0.

    Observations are uint8 [7, 7, 2], tile and colour of what lies before the agent (walls hide nothing); with `one_hot`
    float32 [7, 7, 13 + 12]. `info["cell"]` numbers (row, column, direction) of the agent.
    `options`: fields of xminigrid's parameters (`max_steps`, `view_size`, `height`, `width`); they are no arrays, so
    `params` is empty. Raises `ValueError` without xminigrid, for options that it has not, sizes < 1 and
    a height or width < 3.
    Source: Nikulin et al. 2023, XLand-MiniGrid; Chevalier-Boisvert et al. 2023.
    """
    xminigrid = required(name, "xminigrid")
    with jax.ensure_compile_time_eval():
        world, settings = xminigrid.make(name)
        unknown = sorted(set(options) - set(settings.__dataclass_fields__))
        if unknown:
            raise ValueError(
                f"environment {name}: found options {unknown}, wanted any of {sorted(settings.__dataclass_fields__)}"
            )
        for option in set(options) & {"max_steps", "view_size", "height", "width"}:
            # Walls stand around a world: below 3 there is no place inside.
            check_count(f"environment {name}", option, options[option], 3 if option in ("height", "width") else 1)
        settings = settings.replace(**options)
        constants = required(name, "xminigrid").core.constants
        ids = constants.NUM_TILES, constants.NUM_COLORS

    def seen(found):
        if not one_hot:
            return found.observation
        parts = [jax.nn.one_hot(found.observation[..., i], ids[i], dtype=jnp.float32) for i in range(2)]
        return jnp.concatenate(parts, axis=-1)

    like = jax.eval_shape(lambda key: world.step(settings, world.reset(settings, key), 0), jax.random.key(0))
    single = jax.eval_shape(seen, like)

    def typed(found):
        return jax.tree.map(lambda leaf, wanted: jnp.asarray(leaf, wanted.dtype), found, like)

    def reset(key, params):
        del params
        found = typed(world.reset(settings, key))
        return found, seen(found)

    def step(key, state, action, params) -> Timestep:
        del key, params  # the world has a key of its own, which it never needs in these worlds
        found = typed(world.step(settings, state, jnp.asarray(action, jnp.int32)))
        terminated = found.last() & (found.discount == 0)
        agent = found.state.agent
        place = agent.position[0] * settings.width + agent.position[1]
        info = {"cell": jnp.asarray(place * _DIRECTIONS + agent.direction, jnp.int32)}
        return as_timestep(found, seen(found), found.reward, terminated, found.last(), info)

    return Environment(
        name=name,
        num_actions=int(world.num_actions(settings)),
        observation=jax.ShapeDtypeStruct(single.shape, single.dtype),
        params=(),
        reset=reset,
        step=step,
        actions=_ACTIONS,
        num_states=settings.height * settings.width * _DIRECTIONS,
    )
