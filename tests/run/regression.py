"""Tiny studies for runner tests, and what it means that two runs are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.losses import infonce
from identax.rng import stream
from identax.study import Study, gradient_study


def adam(hparams):
    return optax.adam(hparams["learning_rate"])


def regression_study(dim: int = 3, batch: int = 16, *, host: bool = False, optimizer=adam) -> Study:
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
        optimizer=optimizer,
        evaluate=evaluate,
        sample=None if host else sample,
    )


def contrastive_study(dim: int = 3, batch: int = 16, *, host: bool = False) -> Study:
    """Learns a linear encoder by InfoNCE over the whole batch; its latents come out of a rejection loop.

    What can go wrong on a mesh is all here: a `while_loop` whose predicate depends on the trial, and a loss that
    must see every negative when the batch is sharded.
    """

    def init(key, hparams):
        truth = jax.random.normal(stream(key, "truth"), (dim, dim))
        return truth, {"w": jax.random.normal(stream(key, "params"), (dim, dim))}, None

    def sample(state, key):
        def draw(carry):
            tries, z = carry
            fresh = jax.random.normal(jax.random.fold_in(key, tries), (batch, dim))
            return tries + 1, jnp.where(inside(z)[:, None], z, fresh)

        def inside(z):
            return jnp.abs(z).max(axis=-1) < 1.0

        _, z = jax.lax.while_loop(lambda carry: ~inside(carry[1]).all(), draw, (0, jnp.full((batch, dim), 2.0)))
        z_pos = z + 0.1 * jax.random.normal(stream(key, "noise"), z.shape)
        return z @ state.truth.T, z_pos @ state.truth.T

    def loss(params, state, batch, key):
        per_example = infonce(batch[0] @ params["w"].T, batch[1] @ params["w"].T, scheme="one_view")
        return per_example, (None, {"scale": jnp.abs(params["w"]).mean()})

    def evaluate(state, key):
        x, _ = sample(state, key)
        return {"spread": (x @ state.params["w"].T).std(), "entries": state.params["w"].ravel()}

    return gradient_study(
        init=init,
        loss=loss,
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        evaluate=evaluate,
        sample=None if host else sample,
    )


def same_rows(path, other) -> None:
    """Asserts that two `records.jsonl` hold the same rows, bit for bit and in the same order."""
    assert path.read_text().splitlines() == other.read_text().splitlines()


def same_trees(tree, other) -> None:
    """Asserts that two trees hold the same bits."""
    leaves, others = jax.tree.leaves(tree), jax.tree.leaves(other)
    assert len(leaves) == len(others)
    for a, b in zip(leaves, others, strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
