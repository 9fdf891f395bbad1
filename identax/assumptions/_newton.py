"""Newton's method for few parameters, mapped over many samples."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array


class Maximum(NamedTuple):
    """Where `newton` ended, the value there, and the norm of the gradient (before the last step that moved)."""

    at: Any  # [p]
    value: Any
    slope: Any


def newton(value: Any, start: Array, num_steps: int) -> Maximum:
    """Maximises value(parameters [p]) from `start`.

    Directions of negative curvature are turned round, steps are at most of length 2 and shortened until they help; it
    ends after `num_steps`, or when nothing is gained but rounding.
    """
    shrink = jnp.append(0.25 ** jnp.arange(6, dtype=start.dtype), 0.0)
    least = 4 * float(jnp.finfo(start.dtype).eps)

    def gradient(at):
        slope = jax.grad(value)(at)
        return slope, slope

    def step(carry):
        at, count = carry[0].at, carry[1]
        curved, slope = jax.jacfwd(gradient, has_aux=True)(at)
        sizes, directions = jnp.linalg.eigh(jnp.where(jnp.isfinite(curved), -curved, 0.0))
        sizes = jnp.maximum(jnp.abs(sizes), 1e-8)
        move = directions @ ((directions.T @ slope) / sizes)
        move = move * jnp.minimum(1.0, 2.0 / jnp.maximum(jnp.linalg.norm(move), 1e-30))
        tried = at[None] + shrink[:, None] * move[None]
        values = jax.vmap(value)(tried)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        best = len(shrink) - 1 - jnp.argmax(values[::-1])  # of equals the shortest step
        gained = values[best] - values[-1] > least * jnp.abs(values[-1])
        return Maximum(tried[best], values[best], jnp.linalg.norm(slope)), count + 1, gained

    def going(carry):
        return (carry[1] < num_steps) & carry[2]

    nowhere = jnp.asarray(-jnp.inf, start.dtype)
    return jax.lax.while_loop(going, step, (Maximum(start, nowhere, -nowhere), 0, True))[0]
