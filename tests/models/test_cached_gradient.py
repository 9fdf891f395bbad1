"""Cached gradients against the gradient of the whole batch, and against what they are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from identax.losses import aninfonce
from identax.models import Model, mlp, normalize
from identax.models.cached_gradient import cached_gradient, micro_batched, micro_batched_model
from identax.models.projector import projector

ENCODER = mlp((6, 3))
NORMALISED = projector((4, 3))  # has batch statistics


def embed(params, batch):
    return {name: normalize(ENCODER.apply({"params": params["encoder"]}, x)[0]) for name, x in batch.items()}


def loss(params, z):
    return aninfonce(z["a"], z["b"], jax.nn.softplus(params["raw_precision"])).mean()


def world(dtype, num=12):
    keys = jax.random.split(jax.random.key(0), 3)
    batch = {name: jax.random.normal(key, (num, 5), dtype) for name, key in zip("ab", keys, strict=False)}
    encoder = ENCODER.init(keys[2], batch["a"])["params"]
    return {"encoder": encoder, "raw_precision": jnp.arange(3, dtype=dtype)}, batch


def whole(params, batch):
    return jax.jit(jax.value_and_grad(lambda params: loss(params, embed(params, batch))))(params)


def assert_close(found, wanted, rtol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), found, wanted)


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 12])
def test_equals_the_gradient_of_the_whole_batch(x64, micro_batch):
    params, batch = world(jnp.float64)
    found = jax.jit(lambda p, b: cached_gradient(embed, loss, p, b, micro_batch=micro_batch))(params, batch)
    assert_close(found, whole(params, batch), 1e-12)


def test_gradient_accumulation_does_not(x64):
    params, batch = world(jnp.float64)
    parts = [jax.tree.map(lambda x, i=i: x[4 * i : 4 * i + 4], batch) for i in range(3)]
    gradients = [whole(params, part)[1] for part in parts]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 3, *gradients)
    wanted = whole(params, batch)[1]
    flat, flat_wanted = (ravel_pytree(tree)[0] for tree in (mean, wanted))
    assert np.linalg.norm(flat - flat_wanted) > 0.05 * np.linalg.norm(flat_wanted)


@pytest.mark.slow
def test_single_precision_and_vmap_over_trials():
    params, batch = world(jnp.float32)
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    found = jax.jit(jax.vmap(lambda p: cached_gradient(embed, loss, p, batch, micro_batch=4)))(both)
    wanted = whole(jax.tree.map(lambda leaf: leaf[1], both), batch)
    assert_close(jax.tree.map(lambda leaf: leaf[1], found), wanted, 2e-6)


def test_order_of_examples_is_kept():
    doubled = micro_batched(lambda scale, x: scale * x, micro_batch=2)
    x = jnp.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(doubled(2.0, x), 2 * x)


def test_random_numbers_per_example_are_replayed(x64):
    """Noise drawn inside the encoder from keys in the batch is the same in both passes."""
    params, batch = world(jnp.float64)
    batch["keys"] = jax.random.split(jax.random.key(9), 12)

    def noisy(params, batch):
        noise = jax.vmap(lambda key: jax.random.normal(key, (5,)))(batch["keys"])
        return embed(params, {"a": batch["a"] + 0.1 * noise, "b": batch["b"]})

    found = jax.jit(lambda p, b: cached_gradient(noisy, loss, p, b, micro_batch=4))(params, batch)
    wanted = jax.jit(jax.value_and_grad(lambda params: loss(params, noisy(params, batch))))(params)
    assert_close(found, wanted, 1e-12)


@pytest.mark.slow
def test_a_sharded_batch_gives_the_same(x64):
    params, batch = world(jnp.float64, num=16)
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    placed = jax.device_put(batch, sharding)
    found = jax.jit(lambda p, b: cached_gradient(embed, loss, p, b, micro_batch=4))(params, placed)
    assert_close(found, whole(params, batch), 1e-12)


def test_memory_is_that_of_a_micro_batch():
    encoder = mlp((256, 256, 256, 4))
    x = jax.ShapeDtypeStruct((2048, 8), jnp.float32)
    params = jax.eval_shape(encoder.init, jax.random.key(0), x)["params"]

    def embed(params, x):
        return encoder.apply({"params": params}, x)[0]

    def spread(params, z):
        return jnp.square(z - z.mean(axis=0, keepdims=True)).mean()

    def size(fn):
        return jax.jit(fn).lower(params, x).compile().memory_analysis().temp_size_in_bytes

    dense = size(lambda p, x: jax.value_and_grad(lambda p: spread(p, embed(p, x)))(p))
    cached = size(lambda p, x: cached_gradient(embed, spread, p, x, micro_batch=64))
    assert cached < 0.25 * dense


def test_batch_statistics_are_refused_unless_accepted(x64):
    x = jax.random.normal(jax.random.key(0), (12, 5))
    variables = NORMALISED.init(jax.random.key(1), x)
    refusing = micro_batched_model(NORMALISED, micro_batch=4)
    with pytest.raises(ValueError, match="batch statistics"):
        refusing.apply(variables, x, train=True)
    # running statistics are no matter of the batch
    np.testing.assert_allclose(refusing.apply(variables, x)[0], NORMALISED.apply(variables, x)[0], rtol=1e-12)
    assert refusing.apply(variables, x)[1] == variables["state"]
    one = micro_batched_model(NORMALISED, micro_batch=12).apply(variables, x, train=True)
    assert_close(one, NORMALISED.apply(variables, x, train=True), 1e-12)


def test_accepted_batch_statistics_are_those_of_micro_batches(x64):
    x = jax.random.normal(jax.random.key(0), (12, 5))
    variables = NORMALISED.init(jax.random.key(1), x)
    model = micro_batched_model(NORMALISED, micro_batch=4, statistics="micro_batch")

    def by_hand(params):
        parts = [NORMALISED.apply({**variables, "params": params}, x[j::3], train=True) for j in range(3)]
        output = jnp.stack([part[0] for part in parts], axis=1).reshape(12, 3)
        return jnp.sum(jnp.sin(output)), (output, jax.tree.map(lambda *s: sum(s) / 3, *[part[1] for part in parts]))

    def found(params):
        output, state = model.apply({**variables, "params": params}, x, train=True)
        return jnp.sum(jnp.sin(output)), (output, state)

    results = [jax.jit(jax.value_and_grad(fn, has_aux=True))(variables["params"]) for fn in (found, by_hand)]
    assert_close(*results, 1e-12)
    other = NORMALISED.apply(variables, x, train=True)[0]
    assert np.abs(results[0][0][1][0] - other).max() > 0.05  # and not those of the whole batch


def test_micro_batches_draw_apart_and_are_replayed(x64):
    """A model that adds noise: no two examples share it, and the gradient is that of the draws of the forward pass."""

    def apply(variables, x, *, train=False, key=None):
        return x * variables["params"] * jax.random.normal(key, x.shape, x.dtype), {}

    plain, x, key = Model(lambda key, x: {"params": 1.0}, apply), jnp.ones((6, 2)), jax.random.key(3)
    model = micro_batched_model(plain, micro_batch=2)

    def total(w):
        drawn, _ = model.apply({"params": w}, x, key=key)
        return (drawn**2).sum(), drawn

    (value, drawn), slope = jax.value_and_grad(total, has_aux=True)(1.5)
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_allclose(slope, 2 * value / 1.5, rtol=1e-12)
    one = micro_batched_model(plain, micro_batch=6).apply({"params": 1.0}, x, key=key)[0]
    np.testing.assert_array_equal(one, plain.apply({"params": 1.0}, x, key=key)[0])


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: micro_batched(embed, micro_batch=0), "micro_batch=0"),
        (lambda: cached_gradient(embed, loss, *world(jnp.float32), micro_batch=5), "micro_batch=5 and N=12"),
        (lambda: micro_batched(embed, micro_batch=1)({}, {"a": jnp.zeros((2, 1)), "b": jnp.zeros((3, 1))}), "leading"),
        (lambda: micro_batched(embed, micro_batch=1)({}, {"a": jnp.zeros(())}), "leading"),
        (lambda: micro_batched(embed, micro_batch=1)({}, {"a": jnp.zeros((0, 5))}), "N=0"),
        (lambda: micro_batched_model(ENCODER, micro_batch=2, statistics="whole"), "statistics='whole'"),
        (lambda: micro_batched_model(ENCODER, micro_batch=0), "micro_batch=0"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
