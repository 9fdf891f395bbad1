"""The block with features first against the same written plainly, with what it drops out given."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import narrow_attention as narrow
from identax.models.narrow_block import narrow_block, shapes_kept
from identax.models.norm_places import placed

HEADS, WIDTH, HIDDEN, COLUMNS, ROWS, EPSILON, FACTOR = 2, 6, 5, narrow._TILE + 1, 3, 6e-3, 1.25


def drawn(rng):
    def linear(inputs, outputs):
        return {"kernel": rng.standard_normal((inputs, outputs)), "bias": rng.standard_normal(outputs)}

    def norm():
        return {"scale": rng.standard_normal(WIDTH), "bias": rng.standard_normal(WIDTH)}

    return {
        "attention": {"in_proj": linear(WIDTH, 3 * WIDTH), "out_proj": linear(WIDTH, WIDTH)},
        "linear1": linear(WIDTH, HIDDEN),
        "linear2": linear(HIDDEN, WIDTH),
        "norm1": norm(),
        "norm2": norm(),
    }


def plain(params, x, shown, masks, norm):
    """`x` [T, N, d], by products of matrices and JAX's derivatives."""
    pairs = jnp.zeros((HEADS, COLUMNS, COLUMNS, ROWS))
    for (start, stop), mask in zip(narrow.tiles(COLUMNS), masks, strict=False):
        pairs = pairs.at[:, start:stop, :stop].set(mask * FACTOR)
    after, within, last = (FACTOR * mask for mask in masks[-3:])

    def linear(x, layer):
        return jnp.einsum("tni,io->tno", x, layer["kernel"]) + layer["bias"][None, None]

    def normed(x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / jnp.sqrt(jnp.square(x).mean(axis=-1, keepdims=True) + EPSILON)
        return x * params[name]["scale"][None, None] + params[name]["bias"][None, None]

    def attended(x):
        parts = linear(x, params["attention"]["in_proj"]).reshape(COLUMNS, ROWS, 3, HEADS, -1)
        query, key, value = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
        visible = jnp.tril(jnp.ones((COLUMNS, COLUMNS), bool))[:, :, None] & shown[None]
        scores = jnp.einsum("tnhe,snhe->htsn", query, key) / (WIDTH / HEADS) ** 0.5
        weights = jax.nn.softmax(jnp.where(visible[None], scores, -jnp.inf), axis=2) * pairs
        read = jnp.einsum("htsn,snhe->tnhe", weights, value).reshape(COLUMNS, ROWS, WIDTH)
        return linear(read, params["attention"]["out_proj"]) * after.transpose(1, 2, 0)

    def forward(x):
        hidden = jax.nn.relu(linear(x, params["linear1"])) * within
        return linear(hidden, params["linear2"]) * last.transpose(1, 2, 0)

    return placed(norm, x, attended, forward, normed)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_values_and_gradients_are_the_plain_ones(norm, x64):
    rng = np.random.default_rng(0)
    params, x = drawn(rng), rng.standard_normal((WIDTH, COLUMNS, ROWS))
    shown = rng.random((COLUMNS, ROWS)) < 0.7
    shown[0] = True  # every query sees something
    masks = [rng.random(shape) < 0.8 for shape in shapes_kept(HEADS, WIDTH, HIDDEN, COLUMNS, ROWS)]
    slope = rng.standard_normal(x.shape)

    def narrowly(params, x):
        found = narrow_block(params, x, shown, masks, rescaled=FACTOR, heads=HEADS, epsilon=EPSILON, norm=norm)
        return (found * slope).sum(), found

    def plainly(params, x):
        found = plain(params, x.transpose(1, 2, 0), shown, masks, norm).transpose(2, 0, 1)
        return (found * slope).sum(), found

    (_, found), slopes = jax.jit(jax.value_and_grad(narrowly, argnums=(0, 1), has_aux=True))(params, x)
    (_, wanted), wanted_slopes = jax.jit(jax.value_and_grad(plainly, argnums=(0, 1), has_aux=True))(params, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), slopes, wanted_slopes)


def test_trials_are_those_of_one_after_the_other():
    """Parameters and rows of each, the tokens shown for all; one of them has numbers beyond all use."""
    rng = np.random.default_rng(1)
    single = partial(jax.tree.map, lambda leaf: np.asarray(leaf, np.float32))
    trials = [single(drawn(rng)) for _ in range(3)]
    x = rng.standard_normal((3, WIDTH, COLUMNS, ROWS)).astype(np.float32)
    x[1] = np.inf
    shown = rng.random((COLUMNS, ROWS)) < 0.7
    block = partial(narrow_block, rescaled=1.0, heads=HEADS, epsilon=EPSILON, norm="post")

    def loss(params, x):
        return jnp.square(block(params, x, shown, None)).sum()

    together = jax.jit(jax.vmap(jax.grad(loss)))(jax.tree.map(lambda *one: np.stack(one), *trials), x)
    alone = jax.jit(jax.grad(loss))
    for number in (0, 2):
        wanted = alone(trials[number], x[number])
        found = jax.tree.map(lambda leaf, number=number: leaf[number], together)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, wanted)
    assert np.isnan(together["linear1"]["kernel"][1]).all()
