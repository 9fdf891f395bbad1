"""A picture with a white square on the left, in the middle or on the right, and a reward for saying where it is."""

import functools

import jax
import jax.numpy as jnp

from identax.checks import counts_of
from identax.dgp.environments.protocol import Environment, Timestep, as_timestep

_PLACES = 3
_STACK = 4


def square84(block: int = 28) -> Environment:
    """The task of one look: act as the square says, and see the next one. It never ends.

    A black picture of 3 x 3 blocks has a white (255) one in the middle row and column c, uniform on {0, 1, 2} and
    independent from step to step; the four channels are equal, as if the picture had stood still. The reward is +1 for
    action c and -1/2 for the others: 0 in the mean for one who acts blindly. `info["cell"]` is the new c.

    Args: `block` B is the length of a block in pixels, 28 for pictures of 84 x 84; observations are uint8
    [3 B, 3 B, 4]. Raises `ValueError` for B < 1. Source: a synthetic stand-in for Atari's pictures, of our own.
    """
    (block,) = counts_of("square84", block=block)
    return _square84(block)


@functools.cache
def _square84(block: int) -> Environment:
    side = _PLACES * block

    def picture(place):
        rows, columns = jnp.arange(side) // block, jnp.arange(side) // block
        white = (rows[:, None] == 1) & (columns[None, :] == place)
        return jnp.broadcast_to(jnp.where(white, 255, 0).astype(jnp.uint8)[..., None], (side, side, _STACK))

    def reset(key, params):
        del params
        place = jax.random.randint(key, (), 0, _PLACES, jnp.int32)
        return place, picture(place)

    def step(key, state, action, params) -> Timestep:
        reward = jnp.where(action == state, 1.0, -0.5)
        place, observation = reset(key, params)
        return as_timestep(place, observation, reward, False, False, {"cell": place})

    return Environment(
        name="square84",
        num_actions=_PLACES,
        observation=jax.ShapeDtypeStruct((side, side, _STACK), jnp.uint8),
        params=(),
        reset=reset,
        step=step,
        actions=("left", "middle", "right"),
        num_states=_PLACES,
    )
