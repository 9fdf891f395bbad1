"""A tiny study for runner tests: linear regression y = W z with noise, sampled inside the step."""

import jax
import jax.numpy as jnp
import optax

from identax.rng import stream
from identax.study import Study, gradient_study


def regression_study(dim: int = 3, batch: int = 16, *, host: bool = False) -> Study:
    """Learns a linear map; `hparams` has `learning_rate` and optionally `explode_at` (a step that yields NaN)."""

    def init(key, hparams):
        truth = jax.random.normal(stream(key, "truth"), (dim, dim))
        params = {"w": 0.1 * jax.random.normal(stream(key, "params"), (dim, dim))}
        return truth, params, None

    def sample(state, key):
        z = jax.random.normal(key, (batch, dim))
        return z, z @ state.truth.T

    def loss(params, state, batch, key):
        z, y = batch
        per_example = ((z @ params["w"].T - y) ** 2).sum(axis=-1)
        if "explode_at" in state.hparams:
            per_example = jnp.where(state.step + 1 == state.hparams["explode_at"], jnp.nan, per_example)
        return per_example, (None, {"scale": jnp.abs(params["w"]).mean()})

    def evaluate(state, key):
        return {"error": jnp.abs(state.params["w"] - state.truth).max(), "entries": state.params["w"].ravel()}

    return gradient_study(
        init=init,
        loss=loss,
        optimizer=lambda hparams: optax.adam(hparams["learning_rate"]),
        evaluate=evaluate,
        sample=None if host else sample,
    )
