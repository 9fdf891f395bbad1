"""Pairs of variables of which one causes the other."""

import jax
import jax.numpy as jnp

from identax.rng import stream


def draw(key, hparams, size: int):
    """x ~ N(0, 1), y = strength * (x or x^2) + N(0, 1), both [size]."""
    x = jax.random.normal(stream(key, "cause"), (size,))
    effect = jnp.where(hparams["linear"], x, jnp.square(x))
    return x, hparams["strength"] * effect + jax.random.normal(stream(key, "noise"), (size,))
