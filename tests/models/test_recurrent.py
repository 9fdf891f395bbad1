"""Recurrent models: against NumPy, scanned against step by step, resets, gradients through time."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.models import gru, lstm, scan_over_time
from identax.rng import step_key

N, T, D, H = 3, 6, 2, 4
MODELS = {"lstm": lstm, "gru": gru}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_lstm(params, carry, x):
    c, h = carry
    before = {
        gate: x @ params[f"i{gate}"]["kernel"] + h @ params[f"h{gate}"]["kernel"] + params[f"h{gate}"]["bias"][None]
        for gate in "ifgo"
    }
    c = sigmoid(before["f"]) * c + sigmoid(before["i"]) * np.tanh(before["g"])
    h = sigmoid(before["o"]) * np.tanh(c)
    return (c, h), h


def numpy_gru(params, h, x):
    def seen(gate):
        return x @ params[f"i{gate}"]["kernel"] + params[f"i{gate}"]["bias"][None]

    r, z = (sigmoid(seen(gate) + h @ params[f"h{gate}"]["kernel"]) for gate in "rz")
    n = np.tanh(seen("n") + r * (h @ params["hn"]["kernel"] + params["hn"]["bias"][None]))
    h = (1 - z) * n + z * h
    return h, h


REFERENCES = {
    "lstm": (numpy_lstm, lambda: (np.zeros((N, H)), np.zeros((N, H)))),
    "gru": (numpy_gru, lambda: np.zeros((N, H))),
}


def shaken(tree, key):
    """Every leaf moved, so that no bias and no carry is zero."""
    leaves, treedef = jax.tree.flatten(tree)
    moved = [
        leaf + 0.5 * jax.random.normal(k, leaf.shape, leaf.dtype)
        for leaf, k in zip(leaves, jax.random.split(key, len(leaves)), strict=True)
    ]
    return jax.tree.unflatten(treedef, moved)


def made(name, getkey, **options):
    """A model with every parameter away from its start, and a sequence."""
    model, x = MODELS[name](H, **options), jax.random.normal(getkey(), (N, T, D))
    variables = model.init(getkey(), x)
    return model, {**variables, "params": shaken(variables["params"], getkey())}, x


RESETS = jnp.zeros((N, T), bool).at[0, 3].set(True).at[1, 0].set(True).at[2, 5].set(True)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("resets", [None, RESETS], ids=["one episode", "resets"])
def test_matches_numpy(name, resets, x64, getkey):
    model, variables, x = made(name, getkey)
    (outputs, carry), state = jax.jit(model.apply)(variables, x, resets=resets)
    assert outputs.shape == (N, T, H) and outputs.dtype == jnp.float64 and state == {}
    cell, zeros = REFERENCES[name]
    params, wanted, held = jax.tree.map(np.asarray, variables["params"]["cell"]), [], zeros()
    for t in range(T):
        if resets is not None:
            held = jax.tree.map(lambda leaf, t=t: np.where(np.asarray(resets)[:, t, None], 0, leaf), held)
        held, output = cell(params, held, np.asarray(x[:, t]))
        wanted.append(output)
    np.testing.assert_allclose(outputs, np.stack(wanted, axis=1), rtol=0, atol=1e-10)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10), carry, held)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("learned_carry", [False, True])
def test_step_by_step_is_scanned(name, learned_carry, x64, getkey):
    model, variables, x = made(name, getkey, learned_carry=learned_carry)
    (wanted, last), _ = jax.jit(model.apply)(variables, x, resets=RESETS)
    step = jax.jit(model.step)
    carry = model.start(variables, x[:, 0])
    for t in range(T):
        (output, carry), _ = step(variables, carry, x[:, t], resets=RESETS[:, t])
        np.testing.assert_array_equal(output, wanted[:, t])
    jax.tree.map(np.testing.assert_array_equal, carry, last)


def test_a_sequence_may_go_on_from_a_carry(x64, getkey):
    model, variables, x = made("lstm", getkey)
    apply = jax.jit(model.apply)
    (wanted, last), _ = apply(variables, x, resets=RESETS)
    (first, carry), _ = apply(variables, x[:, :4], resets=RESETS[:, :4])
    (second, carry), _ = apply(variables, x[:, 4:], carry=carry, resets=RESETS[:, 4:])
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), wanted, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), carry, last)
    assert np.abs(apply(variables, x[:, 4:])[0][0] - wanted[:, 4:]).max() > 1e-2


def test_a_reset_is_the_start_of_another_sequence(x64, getkey):
    """State and gradient: nothing before a reset reaches what comes after it, and without one everything does."""
    model, variables, x = made("gru", getkey, learned_carry=True)
    resets = jnp.zeros((N, T), bool).at[:, 3].set(True)

    def after(x, resets):
        return model.apply(variables, x, resets=resets)[0][0][:, 3:]

    found = after(x, resets)
    np.testing.assert_allclose(found, model.apply(variables, x[:, 3:])[0][0], rtol=1e-12)
    assert np.abs(found - after(x, None)).max() > 1e-2
    reaches = [np.abs(jax.grad(lambda x, r=r: after(x, r).sum())(x)).max(axis=(0, 2)) for r in (resets, None)]
    assert (reaches[0][:3] == 0).all() and (reaches[0][3:] > 0).all() and (reaches[1] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_gradients_through_time_are_those_of_differences(name, x64, getkey):
    """Of parameters (the first carry among them) and inputs, along one random direction."""
    model, variables, x = made(name, getkey, learned_carry=True)
    weights = jax.random.normal(getkey(), (N, T, H))

    @jax.jit
    def value(at):
        (outputs, carry), _ = model.apply({**variables, "params": at[0]}, at[1], resets=RESETS)
        return (weights * outputs).sum() + sum(leaf.sum() for leaf in jax.tree.leaves(carry))

    at = (variables["params"], x)
    way = jax.tree.map(lambda a, b: a - b, shaken(at, getkey()), at)
    grad = jax.grad(value)(at)
    ahead, back = (jax.tree.map(lambda a, w, s=s: a + s * 1e-5 * w, at, way) for s in (1, -1))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, w: (g * w).sum(), grad, way)))
    np.testing.assert_allclose(slope, (value(ahead) - value(back)) / 2e-5, rtol=1e-7)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(grad))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_parameters_follow_the_input(dtype, getkey):
    model, x = gru(H), jnp.ones((N, T, D), dtype)
    variables = model.init(getkey(), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert model.apply(variables, x)[0][0].dtype == jnp.float32


def test_a_learned_carry_starts_at_the_cells_own(getkey):
    x = jax.random.normal(getkey(), (N, T, D))
    key = getkey()
    plain, learned = (lstm(H, learned_carry=flag) for flag in (False, True))
    variables = learned.init(key, x)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, jnp.zeros(H)), variables["params"]["carry"])
    found, wanted = learned.apply(variables, x), plain.apply(plain.init(key, x), x)
    np.testing.assert_array_equal(found[0][0], wanted[0][0])


class Averaging(nn.Module):
    """A cell written by hand: leaky average with dropout, a carry that is a dict, and a count of its calls."""

    @nn.compact
    def __call__(self, carry, x, train):
        calls = self.variable("tally", "calls", lambda: jnp.zeros((), jnp.int32))
        if not self.is_initializing():
            calls.value += 1
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], x.dtype)
        held = nn.Dropout(0.5, deterministic=not train)(0.9 * carry["mean"] + 0.1 * scale[None] * x)
        return {"mean": held, "steps": carry["steps"] + 1}, {"mean": held, "first": carry["steps"] == 0}

    def initialize_carry(self, key, shape):
        return {"mean": jnp.zeros(shape), "steps": jnp.zeros(shape[:1], jnp.int32)}


def test_any_cell_is_scanned_with_its_collections_and_streams(getkey):
    model, x = scan_over_time(Averaging()), jax.random.normal(getkey(), (N, T, D))
    variables, key = model.init(getkey(), x), getkey()
    (outputs, carry), state = jax.jit(lambda x, key: model.apply(variables, x, resets=RESETS, train=True, key=key))(
        x, key
    )
    assert variables["state"]["tally"]["calls"] == 0 and state["tally"]["calls"] == T
    np.testing.assert_array_equal(outputs["first"], RESETS.at[:, 0].set(True))
    np.testing.assert_array_equal(carry["steps"], [3, 6, 1])
    held, kept = None, variables["state"]
    for t in range(T):
        (output, held), kept = model.step(
            {**variables, "state": kept}, held, x[:, t], resets=RESETS[:, t], train=True, key=step_key(key, t)
        )
        np.testing.assert_allclose(output["mean"], outputs["mean"][:, t], rtol=1e-6)
    dropped = np.asarray(outputs["mean"] == 0)
    assert dropped.any() and not dropped.all() and len(np.unique(dropped, axis=1).T) > 1  # not one mask for all steps
    (calm, _), _ = model.apply(variables, x)
    assert (calm["mean"] != 0).all()
    with pytest.raises(ValueError, match="stream 'dropout'"):
        model.apply(variables, x, train=True)


@pytest.mark.slow
def test_trains_under_vmap_over_seeds(getkey):
    """The first of six signs is to be told at the end: that takes memory."""
    model, adam = lstm(8), optax.adam(0.02)  # plain descent leaves some seeds on a plateau
    x = jax.random.choice(getkey(), jnp.array([-1.0, 1.0]), (64, T, 1))
    y = x[:, 0, 0]

    def loss(params):
        (outputs, _), _ = model.apply({"params": params, "state": {}}, x)
        return jnp.square(outputs[:, -1, 0] - 0.7 * y).mean()

    @jax.jit
    @jax.vmap
    def train(key):
        def step(carry, _):
            params, memory = carry
            value, grad = jax.value_and_grad(loss)(params)
            updates, memory = adam.update(grad, memory)
            return (optax.apply_updates(params, updates), memory), value

        params = model.init(key, x)["params"]
        return jax.lax.scan(step, (params, adam.init(params)), None, length=300)[1]

    values = train(jax.random.split(getkey(), 2))
    assert (values[:, 0] > 0.3).all() and (values[:, -1] < 0.05).all()


CASES = [
    (lambda: lstm(0), "lstm: found features=0"),
    (lambda: gru(-1), "gru: found features=-1"),
    (lambda: lstm(H).init(jax.random.key(0), jnp.zeros((N, D))), r"found float32 input of shape \(3, 2\)"),
    (lambda: lstm(H).init(jax.random.key(0), jnp.zeros((N, T, D), int)), "found int32 input"),
    (lambda: _apply(resets=jnp.zeros((N,), bool)), r"bool resets of shape \(3,\), wanted bool \(3, 6\)"),
    (lambda: _apply(resets=jnp.zeros((N, T))), "found float32 resets"),
    (lambda: _apply(carry=jnp.zeros((N, H))), "found a carry of"),
    (lambda: _apply(carry=(jnp.zeros((1, H)), jnp.zeros((1, H)))), "found a carry of"),
]


def _apply(**options):
    model, x = lstm(H), jnp.zeros((N, T, D))
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    jax.eval_shape(lambda variables, options: model.apply(variables, x, **options), shapes, options)


@pytest.mark.parametrize(("call", "message"), CASES)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
