"""The policy's network and the curiosity module against NumPy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import curiosity_module, policy_network
from identax.models import flat_encoder

E, T, OBSERVED, WIDTH, UNITS, A = 3, 4, 5, 6, 4, 3
ENCODER = flat_encoder((WIDTH,))
RNG = np.random.default_rng(0)
SEEN = RNG.normal(size=(T, E, OBSERVED))
RESETS = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 1]], bool)
PHI, NEXT = RNG.normal(size=(2, E, WIDTH))
ACTIONS = np.array([2, 0, 1])
pytestmark = pytest.mark.usefixtures("x64")
slow = pytest.mark.slow


def _softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _linear(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def _gated(params, x, source=None):
    return x * _softmax(_linear(params, x if source is None else source))


def _lstm(params, carry, x):
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    c, h = carry
    params = {name: np.asarray(leaf) for name, leaf in params.items()}
    before = x @ params["ih_kernel"] + params["ih_bias"] + h @ params["hh_kernel"] + params["hh_bias"]
    i, f, g, o = np.split(np.asarray(before), 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return c, sigmoid(o) * np.tanh(c)


def test_gradients_of_a_rollout_are_those_of_its_steps_one_by_one():
    network = policy_network(A, ENCODER, units=UNITS)
    params = jax.jit(network.init)(jax.random.key(0), SEEN[0])
    carry, wanted = tuple(RNG.normal(size=(2, E, UNITS))), RNG.normal(size=(T, E, UNITS))

    def whole(params, carry):
        return (network.unroll(params, carry, jnp.asarray(SEEN), jnp.asarray(RESETS)) * wanted).sum()

    def one_by_one(params, carry):
        total = 0.0
        for t in range(T):
            carry, features = network.step(params, carry, jnp.asarray(SEEN[t]))
            carry = tuple(jnp.where(RESETS[t][:, None], 0.0, part) for part in carry)
            total += (features * wanted[t]).sum()
        return total

    ours, theirs = (jax.jit(jax.grad(loss, (0, 1)))(params, carry) for loss in (whole, one_by_one))
    assert np.abs(ours[0]["lstm"]["hh_kernel"]).max() > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12), ours, theirs)


@pytest.mark.parametrize("attention", [pytest.param(False, marks=slow), True])
def test_a_rollout_is_the_lstm_step_by_step(attention):
    network = policy_network(A, ENCODER, units=UNITS, attention=attention)
    params = jax.jit(network.init)(jax.random.key(0), SEEN[0])
    bound = UNITS**-0.5
    assert all(np.abs(leaf).max() < bound and np.abs(leaf).max() > 0.6 * bound for leaf in params["lstm"].values())
    started, step = network.start(params, E), jax.jit(network.step)
    assert not any(leaf.any() for leaf in started)
    carry = tuple(RNG.normal(size=(2, E, UNITS)))
    wanted, state, ours = [], carry, carry
    for t in range(T):
        encoded = np.tanh(_linear(params["encoder"]["dense1"], SEEN[t]))
        state = _lstm(params["lstm"], state, encoded)
        wanted.append(state[1])
        ours, features = step(params, ours, SEEN[t])
        np.testing.assert_allclose(features, state[1], rtol=1e-8)
        state = tuple(np.where(RESETS[t][:, None], 0.0, part) for part in state)
        ours = tuple(jnp.where(RESETS[t][:, None], 0.0, part) for part in ours)
    found = jax.jit(network.unroll)(params, carry, SEEN, RESETS)
    np.testing.assert_allclose(found, np.stack(wanted), rtol=1e-8)
    logits, values = network.heads(params, found)
    h = np.stack(wanted)
    for_actor, for_critic = (_gated(params[name], h) if attention else h for name in _GATES)
    np.testing.assert_allclose(logits, _linear(params["actor"], for_actor), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(values, _linear(params["critic"], for_critic), rtol=1e-8, atol=1e-12)
    assert ("actor_gate" in params) == attention


_GATES = ("actor_gate", "critic_gate")


def test_without_memory_features_are_the_encoder_s():
    network = policy_network(A, ENCODER, memory="none", num_values=2)
    params = jax.jit(network.init)(jax.random.key(0), SEEN[0])
    carry, features = network.step(params, network.start(params, E), SEEN[1])
    assert carry == () and features.shape == (E, WIDTH)
    np.testing.assert_allclose(network.unroll(params, (), SEEN, RESETS)[1], features, rtol=1e-12)
    assert network.heads(params, features)[1].shape == (E, 2)


def test_no_gradient_crosses_the_end_of_an_episode():
    network = policy_network(A, ENCODER, units=UNITS)
    params = jax.jit(network.init)(jax.random.key(0), SEEN[0])

    def last(seen, resets):
        return network.unroll(params, network.start(params, E), seen, resets)[-1].sum()

    found = np.abs(jax.grad(last)(jnp.asarray(SEEN), RESETS)).sum(axis=2) > 0
    # Environment 1 has no end before the last step, 0 one behind step 1, 2 one behind step 0.
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize("attention", [*(pytest.param(one, marks=slow) for one in ("none", "single")), "double"])
def test_the_module_s_heads(attention):
    module = curiosity_module(A, ENCODER, attention=attention, hidden=7)
    params = jax.jit(module.init)(jax.random.key(0), SEEN[0])
    taken = np.eye(A)[ACTIONS]
    pairs = {"forward": (PHI, taken), "inverse": (PHI, NEXT)}
    gates = {"forward": ("forward_gate", "action_gate"), "inverse": ("inverse_gate", "next_gate")}
    found = {"forward": module.predict(params, PHI, ACTIONS), "inverse": module.infer(params, PHI, NEXT)}
    for name, (first, second) in pairs.items():
        own = [params[gate] for gate in gates[name] if gate in params]
        assert len(own) == {"none": 0, "single": 1, "double": 2}[attention]
        if attention == "double":
            first, second = _gated(own[0], first), _gated(own[1], second)
        x = np.concatenate([first, second], axis=-1)
        x = _gated(own[0], x) if attention == "single" else x
        wanted = _linear(params[f"{name}_out"], _linear(params[f"{name}_in"], x))
        np.testing.assert_allclose(found[name], wanted, rtol=1e-8, atol=1e-12)
    assert module.relevance(params, NEXT) is None
    sloped = curiosity_module(A, ENCODER, attention=attention, hidden=7, slope=0.1)
    assert not np.allclose(sloped.predict(params, PHI, ACTIONS), found["forward"])


def test_the_rational_module_weighs_by_the_true_next_features():
    module = curiosity_module(A, ENCODER, rational=True)
    params = jax.jit(module.init)(jax.random.key(0), SEEN[0])
    wanted = _softmax(_linear(params["relevance_gate"], NEXT))
    np.testing.assert_allclose(module.relevance(params, NEXT), wanted, rtol=1e-8)
    assert np.abs(jax.grad(lambda x: (module.relevance(params, x) ** 2).sum())(jnp.asarray(NEXT))).max() > 1e-4


@pytest.mark.parametrize(
    "options", [*(pytest.param({"attention": one}, marks=slow) for one in ("single", "double")), {"rational": True}]
)
def test_as_released_no_attention_is_switched_on(options):
    plain = curiosity_module(A, ENCODER)
    params = jax.jit(plain.init)(jax.random.key(0), SEEN[0])
    released = curiosity_module(A, ENCODER, wiring="released", **options)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, jax.jit(released.init)(jax.random.key(0), SEEN[0])))
    assert released.relevance(params, NEXT) is None
    np.testing.assert_array_equal(plain.predict(params, PHI, ACTIONS), released.predict(params, PHI, ACTIONS))
    np.testing.assert_array_equal(plain.infer(params, PHI, NEXT), released.infer(params, PHI, NEXT))
    meant = jax.eval_shape(curiosity_module(A, ENCODER, **options).init, jax.random.key(0), SEEN[0])
    assert len(jax.tree.leaves(meant)) > len(jax.tree.leaves(params))


def _module_call(name, *arrays):
    return getattr(curiosity_module(A, ENCODER), name)({}, *arrays)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: policy_network(0, ENCODER), "num_actions=0"),
        (lambda: policy_network(A, ENCODER, memory="gru"), "memory"),
        (lambda: policy_network(A, ENCODER, num_values=0), "num_values=0"),
        (lambda: policy_network(A, ENCODER, units=0), "units=0"),
        (lambda: curiosity_module(A, ENCODER, attention="singel"), "did you mean 'single'"),
        (lambda: curiosity_module(A, ENCODER, wiring="as released"), "wiring"),
        (lambda: curiosity_module(A, ENCODER, slope=2), "slope"),
        (lambda: policy_network(A, ENCODER, attention="none"), "attention='none', wanted True or False"),
        (lambda: curiosity_module(A, "mlp"), "found encoder of type str, wanted one of type Model"),
        (
            lambda: _module_call("predict", jnp.zeros((2, 3)), jnp.zeros(3, int)),
            r"actions int.*\[3\], wanted integers \[2\]",
        ),
        (lambda: _module_call("predict", jnp.zeros((2, 3)), jnp.zeros(2)), r"actions float.*, wanted integers \[2\]"),
        (lambda: _module_call("infer", jnp.zeros((2, 3)), jnp.zeros((3, 3))), "wanted equal shapes"),
        (lambda: curiosity_module(A, ENCODER, rational="no"), "rational='no', wanted True or False"),
    ],
)
def test_networks_refuse(call, part, untyped):
    with pytest.raises(ValueError, match=part):
        call()
