"""Units that are renewed, against loops over them in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.transforms import Hidden, continual_backprop, dormancy, hidden_layers, redo, with_perturbation

KEY = jax.random.key(11)
SIZES = (4, 6, 5, 2)
NAMES = ("Dense_0", "Dense_1", "Dense_2")
LAYERS = hidden_layers(*NAMES)
RNG = np.random.default_rng(0)
PARAMS = {
    name: {
        "kernel": RNG.normal(size=SIZES[i : i + 2]).astype(np.float32),
        "bias": RNG.normal(size=SIZES[i + 1]).astype(np.float32),
    }
    for i, name in enumerate(NAMES)
}


def applied(operator, params, state=None, **context):
    """What `apply` gives, as NumPy: indexing arrays of JAX would compile."""
    state = operator.init(params) if state is None else state
    params, state, replaced = operator.apply(params, state, **context)
    return jax.tree.map(np.asarray, params), state, jax.tree.map(np.asarray, replaced)


def test_layers_are_named():
    assert LAYERS[1] == Hidden("Dense_1", "Dense_1/kernel", "Dense_2/kernel", "Dense_1/bias", "Dense_2/bias")
    assert hidden_layers("a", "b", bias=False) == (Hidden("a", "a/kernel", "b/kernel"),)


def reference(kind, decay, steps, rate, maturity):
    """(units, corrected means) at each step and layer, of given activations and the parameters at that time."""
    memory = [[np.zeros(n) for _ in range(3)] for n in SIZES[1:3]]
    due = [0.0, 0.0]

    def at(params, activations):
        found = []
        for i, (name, after) in enumerate(itertools.pairwise(NAMES)):
            u, m, a = memory[i]
            h = activations[name].astype(float)
            w, v = (np.abs(np.asarray(params[n]["kernel"], float)) for n in (name, after))
            a += 1
            m[:] = decay * m + (1 - decay) * h.mean(0)
            corrected = m / (1 - decay**a)
            size = np.abs(h - (0 if kind == "contribution" else corrected)).mean(0) * v.mean(1)
            u[:] = decay * u + (1 - decay) * (size / w.mean(0) if kind == "adaptable_contribution" else size)
            old = np.flatnonzero(a > maturity)
            due[i] += rate * len(old)
            number = int(due[i] + 1e-5)
            due[i] = max(due[i] - number, 0)
            units = old[np.argsort((u / (1 - decay**a))[old])[:number]]
            found.append((units, corrected.copy()))
            for held in (u, m, a):
                held[units] = 0
        return found

    return at


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("adaptable_contribution", "intended"),
        pytest.param("contribution", "released", marks=pytest.mark.slow),
        pytest.param("zero_contribution", "intended", marks=pytest.mark.slow),
    ],
)
def test_continual_backprop_step_by_step(kind, mode):
    decay, rate, maturity, bound = 0.9, 0.06, 3, np.sqrt(2) * np.sqrt(3 / 4)
    operator = continual_backprop(LAYERS, rate=rate, maturity=maturity, decay=decay, utility=kind, mode=mode, key=KEY)
    at, params, state = reference(kind, decay, 24, rate, maturity), PARAMS, operator.init(PARAMS)
    rng, seen = np.random.default_rng(1), [0, 0]
    for step in range(24):
        activations = {
            layer.name: rng.normal(0.5, 1, size=(8, n)).astype(np.float32)
            for layer, n in zip(LAYERS, SIZES[1:3], strict=True)
        }
        (first, _), (second, second_mean) = at(params, activations)
        new, state, replaced = applied(operator, params, state, activations=activations)
        seen = [seen[0] + len(first), seen[1] + len(second)]
        assert step >= maturity or not (len(first) or len(second))
        touched = np.asarray(replaced["Dense_0"]["kernel"])
        np.testing.assert_array_equal(np.flatnonzero(touched.all(axis=0)), np.sort(first))
        assert touched.sum() == 4 * len(first)
        assert (np.abs(new["Dense_0"]["kernel"][:, first]) <= bound).all()
        np.testing.assert_array_equal(new["Dense_0"]["bias"][first], 0)
        np.testing.assert_array_equal(np.flatnonzero(replaced["Dense_1"]["bias"]), np.sort(second))
        assert not new["Dense_2"]["kernel"][second].any()
        out = np.asarray(params["Dense_2"]["kernel"])
        gain = second_mean[second] @ out[second] if mode == "intended" else 0
        np.testing.assert_allclose(new["Dense_2"]["bias"], params["Dense_2"]["bias"] + gain, rtol=1e-4, atol=1e-5)
        old = np.delete(np.arange(6), first)
        kept = np.delete(np.arange(5), second)
        np.testing.assert_array_equal(
            new["Dense_1"]["kernel"][np.ix_(old, kept)], params["Dense_1"]["kernel"][np.ix_(old, kept)]
        )
        params = new
    assert min(seen) >= 3 and (second_mean.shape == (5,))


def test_what_is_meant_keeps_the_output_of_a_constant_unit():
    """A unit that always says the same goes into the next bias: outputs stay; the published program loses it."""
    h, params = (
        np.array([2.0, 3.0, 0.5]),
        {"a": {"kernel": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}},
    )
    kernel, bias = np.array([[1.0, 2.0], [-1.0, 1.0], [0.1, 0.2]], np.float32), np.array([0.5, -0.5], np.float32)
    params["b"] = {"kernel": kernel, "bias": bias}
    activations = {"a": np.tile(h, (4, 1)).astype(np.float32)}
    before = h @ kernel + bias
    for mode, loss in (("intended", 0.0), ("released", 0.5 * np.array([0.1, 0.2]))):
        operator = continual_backprop(
            hidden_layers("a", "b"), rate=1 / 3, maturity=0, mode=mode, utility="contribution"
        )
        new, _, replaced = applied(operator, params, activations=activations)
        np.testing.assert_array_equal(replaced["b"]["kernel"][:, 0], [False, False, True])
        after = h @ new["b"]["kernel"] + new["b"]["bias"]
        np.testing.assert_allclose(after, before - loss, rtol=1e-5)


@pytest.mark.slow
def test_a_share_below_one_unit_is_drawn_and_trials_differ():
    params = {"a": {"kernel": jnp.ones((2, 8))}, "b": {"kernel": jnp.ones((8, 1))}}
    activations, steps = {"a": jnp.arange(1.0, 9.0)[None]}, 300

    @jax.jit
    @jax.vmap
    def replaced(key):
        operator = continual_backprop(
            hidden_layers("a", "b", bias=False), rate=0.05, maturity=0, accumulate=False, key=key
        )

        def step(held, _):
            _, state, replaced = operator.apply(*held, activations=activations)
            return (params, state), replaced["a"]["kernel"][0]

        return jax.lax.scan(step, (params, operator.init(params)), None, length=steps)[1]

    found = np.asarray(replaced(jax.random.split(KEY, 2)))
    counts = found.sum(axis=2)
    assert counts.max() == 1 and (counts[0] != counts[1]).any()
    # 8 units at most, one fewer after each replacement: .05 x 8 at least .05 x 7
    low, high = 0.35 * 2 * steps, 0.4 * 2 * steps
    assert low - 3 * np.sqrt(low) < counts.sum() < high + 3 * np.sqrt(high)


def test_dormant_units():
    h = np.random.default_rng(0).random((10, 3, 3, 4), np.float32) * np.array([1, 0, 2, 5], np.float32)
    size = h.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(dormancy(h), size / size.mean(), rtol=1e-5)
    np.testing.assert_array_equal(dormancy(jnp.zeros((5, 3))), 0)


def test_redo_recycles_channels_in_front_of_a_flattened_layer():
    """Channels run fastest in a flattened map: rows 1, 5, 9, ... of the next kernel go to zero."""
    params = {
        "conv": {"kernel": np.full((3, 3, 2, 4), 9, np.float32), "bias": np.full(4, 9, np.float32)},
        "dense": {"kernel": np.full((16, 6), 9, np.float32), "bias": np.full(6, 9, np.float32)},
        "out": {"kernel": np.full((6, 2), 9, np.float32), "bias": np.full(2, 9, np.float32)},
    }
    h = {"conv": np.ones((5, 2, 2, 4), np.float32), "dense": np.ones((5, 6), np.float32)}
    h["conv"][..., 1], h["dense"][:, 2] = 0, 0.05
    operator = redo(hidden_layers("conv", "dense", "out"), tau=0.1, every=1)
    new, _, replaced = applied(operator, params, activations=h)
    limit = np.sqrt(6 / (9 * 2 + 9 * 4))
    fresh = np.asarray(new["conv"]["kernel"][..., 1])
    assert 0.5 * limit < np.abs(fresh).max() <= limit and (np.asarray(new["conv"]["kernel"])[..., [0, 2, 3]] == 9).all()
    np.testing.assert_array_equal(new["conv"]["bias"], [9, 0, 9, 9])
    rows = np.arange(16) % 4 == 1
    assert not new["dense"]["kernel"][rows].any()
    np.testing.assert_array_equal(new["dense"]["kernel"][~rows][:, [0, 1, 3, 4, 5]], 9)
    assert (np.abs(new["dense"]["kernel"][~rows][:, 2]) < 1).all()
    np.testing.assert_array_equal(new["out"]["kernel"][:, 0], [9, 9, 0, 9, 9, 9])
    np.testing.assert_array_equal(new["out"]["bias"], 9)
    wanted = np.broadcast_to(rows[:, None] | (np.arange(6) == 2), (16, 6))
    np.testing.assert_array_equal(replaced["dense"]["kernel"], wanted)
    assert not replaced["conv"]["bias"].any()


def test_redo_behind_adam():
    """Moments of the recycled unit's weights are zero, those of its bias stay; activations come through the chain."""
    params = {name: PARAMS[name] for name in NAMES[1:]}
    h = {"Dense_1": np.tile(np.array([1, 1, 1, 1, 0], np.float32), (3, 1))}
    made = with_perturbation(optax.adam(0.1), redo(hidden_layers(*NAMES[1:]), tau=0.0, every=2), moments="zero")
    update, state = jax.jit(made.update), made.init(params)
    for _ in range(2):
        updates, state = update(params, state, params, activations=h)
    mu = jax.tree.map(np.asarray, optax.tree.get(state[0], "mu"))
    np.testing.assert_array_equal((mu["Dense_1"]["kernel"] == 0).all(axis=0), [False] * 4 + [True])
    np.testing.assert_array_equal((mu["Dense_2"]["kernel"] == 0).all(axis=1), [False] * 4 + [True])
    assert (mu["Dense_1"]["bias"] != 0).all()
    np.testing.assert_array_equal(params["Dense_2"]["kernel"][4] + np.asarray(updates["Dense_2"]["kernel"])[4], 0)


def used(operator, activations):
    return operator.apply(PARAMS, operator.init(PARAMS), **activations)


GOOD = {"Dense_0": np.ones((3, 6), np.float32), "Dense_1": np.ones((3, 5), np.float32)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hidden_layers("a"), "hidden_layers: found .*wanted two layers or more"),
        (lambda: redo(LAYERS, tau=-0.1), "redo: found tau=-0.1"),
        (lambda: redo(LAYERS, every=0), "found every=0"),
        (lambda: continual_backprop(LAYERS, rate=2.0), "continual_backprop: found rate=2.0"),
        (lambda: continual_backprop(LAYERS, decay=1.0), "found decay=1.0, wanted"),
        (lambda: continual_backprop(LAYERS, maturity=-1), "found maturity=-1"),
        (lambda: continual_backprop(LAYERS, utility="size"), "found utility='size'"),
        (lambda: continual_backprop(LAYERS, mode="fixed"), "found mode='fixed'"),
        (lambda: continual_backprop(LAYERS, gain=0.0), "found gain=0.0"),
        (lambda: used(redo(LAYERS), {}), "redo: found activations of None, wanted .*activations={'Dense_0': ...}"),
        (
            lambda: used(redo(LAYERS), {"activations": {"Dense_0": GOOD["Dense_0"]}}),
            r"found activations of \['Dense_0'\]",
        ),
        (
            lambda: used(redo(LAYERS), {"activations": GOOD | {"Dense_1": np.ones((3, 4))}}),
            r"Dense_1 \(3, 4\), wanted",
        ),
        (
            lambda: redo(hidden_layers("Dense_0", "head")).init(PARAMS),
            r"found no leaves \['head/kernel', 'head/bias'\]",
        ),
        (
            lambda: redo(hidden_layers("Dense_0", "Dense_2")).init(PARAMS),
            "found 5 inputs of Dense_2/kernel, wanted a mult",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
