"""A world for tests: a counter that the actions move, with lives, both kinds of end, and a reward in every step."""

import jax
import jax.numpy as jnp

from identax.dgp.environments import Environment
from identax.dgp.environments.protocol import as_timestep

NUM_ACTIONS = 3


def counter(*, ends: int = 5, cut: int = 100, lives: int = 1, start: int = 0, noise: bool = False, **changes):
    """State (place, time, lives): action a adds a. A life is lost at every multiple of `ends`, `cut` steps truncate.

    The reward is 2 place + 1 of the new place; observations are float32 [2], place and time. With `noise` an episode
    begins at a random place below `ends`.
    """

    def seen(place, time):
        return jnp.stack([place, time]).astype(jnp.float32)

    def reset(key, params):
        place = jnp.asarray(start, jnp.int32)
        if noise:
            place = jax.random.randint(key, (), 0, ends, jnp.int32)
        return (place, jnp.zeros((), jnp.int32), jnp.asarray(lives, jnp.int32)), seen(place, 0)

    def step(key, state, action, params):
        place, time, left = state
        lost = (place + action) // ends > place // ends
        place, time, left = place + action, time + 1, left - lost
        info = {"life_lost": lost, "lives": left, "cell": jnp.minimum(place, ends * lives)}
        return as_timestep(
            (place, time, left), seen(place, time), params * (2 * place + 1), left <= 0, time >= cut, info
        )

    fields = {
        "name": "counter",
        "num_actions": NUM_ACTIONS,
        "observation": jax.ShapeDtypeStruct((2,), jnp.float32),
        "params": jnp.ones((), jnp.float32),
        "reset": reset,
        "step": step,
        "num_states": ends * lives + 1,
    }
    return Environment(**fields | changes)


def play(environment, actions, seed=0):
    """The steps that these actions give, one after the other, as a list; and the first observation."""
    key = jax.random.key(seed)
    params = environment.params
    state, first = environment.reset(jax.random.fold_in(key, 2**20), params)
    found = []
    for i, action in enumerate(actions):
        found.append(environment.step(jax.random.fold_in(key, i), state, jnp.asarray(action, jnp.int32), params))
        state = found[-1].state
    return first, found
