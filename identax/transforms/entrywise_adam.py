"""Adam that counts the updates of each entry by itself, so that a forgotten entry starts over."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class EntrywiseAdamState(NamedTuple):
    """Moments and the number of updates of each entry."""

    mu: Any
    nu: Any
    count: Any


def scale_by_entrywise_adam(
    b1: float | int = 0.9, b2: float | int = 0.999, eps: float | int = 1e-8
) -> optax.GradientTransformation:
    """Adam whose bias correction counts the updates of each entry: where `forget` zeroes one, Adam starts over.

        m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps),   t per entry

    As `optax.scale_by_adam` until something is forgotten.
    Source: Kingma & Ba 2015, counted as continual backpropagation does (Dohare et al. 2024).
    """

    def init(params):
        counts = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int32), params)
        return EntrywiseAdamState(jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), counts)

    def update(updates, state, params=None):
        del params
        count = jax.tree.map(lambda t: t + 1, state.count)
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment(updates, state.nu, b2, 2)

        def scaled(m, v, t):
            return m / (1 - b1 ** t.astype(m.dtype)) / (jnp.sqrt(v / (1 - b2 ** t.astype(v.dtype))) + eps)

        return jax.tree.map(scaled, mu, nu, count), EntrywiseAdamState(mu, nu, count)

    return optax.GradientTransformation(init, update)
