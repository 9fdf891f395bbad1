"""A corridor to act in: as small as a world with both kinds of ends, numbered states and a reward can be."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from identax.dgp.environments import Environment, Timestep


class _Place(NamedTuple):
    at: jax.Array
    time: jax.Array


def corridor(length: int = 4, limit: int = 7, *, nan: bool = False) -> Environment:
    """Cells 0..length-1, start at 1; action 1 goes right, 0 left; the right end pays 1, the left -.5; `limit` steps."""

    def seen(at):
        return jax.nn.one_hot(at, length) * (jnp.nan if nan else 1.0)

    def reset(key, params):
        del key, params
        return _Place(jnp.int32(1), jnp.int32(0)), seen(jnp.int32(1))

    def step(key, state, action, params):
        del key
        at = state.at + jnp.where(action == 1, 1, -1).astype(jnp.int32)
        after = _Place(at, state.time + 1)
        right, left = at == length - 1, at == 0
        terminated = right | left
        truncated = ~terminated & (after.time >= limit)
        reward = params * jnp.where(right, 1.0, jnp.where(left, -0.5, 0.0))
        return Timestep(after, seen(at), reward, terminated, truncated, {"cell": at})

    shape = jax.ShapeDtypeStruct((length,), jnp.float32)
    return Environment("corridor", 2, shape, jnp.float32(1), reset, step, num_states=length)
