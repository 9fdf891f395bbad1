"""The network that acts: encoder, memory, and the two heads, one step at a time or over a whole rollout."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from identax.checks import check_choice, check_count, check_flag, check_type
from identax.models import Model
from identax.models.agent_encoders import linear, linear_start
from identax.models.mlp import uniform_fan_in
from identax.models.softmax_gate import gate_start, gated
from identax.models.torch_lstm import GATES
from identax.models.torch_lstm import gated as lstm_gated
from identax.rng import stream

MEMORIES = ("lstm", "none")


class PolicyNetwork(NamedTuple):
    """An actor-critic as pure functions; E environments side by side, T steps of a rollout.

    * `init(key, observations [E, ...]) -> params`
    * `encode(params, observations [N, ...]) -> [N, m]`, without memory
    * `start(params, E) -> carry` of episodes that begin
    * `step(params, carry, observations [E, ...]) -> (carry, features [E, n])`
    * `unroll(params, carry, observations [T, E, ...], resets [T, E]) -> features [T, E, n]`: the same steps, with a new
      carry behind each step that `resets`; encoders and input weights see all steps at once. Gradients flow backwards
      alone (`jax.grad`, `jax.vjp`)
    * `heads(params, features [..., n]) -> (logits [..., A], values [..., V])`
    """

    init: Callable[..., Any]
    encode: Callable[..., Any]
    start: Callable[..., Any]
    step: Callable[..., Any]
    unroll: Callable[..., Any]
    heads: Callable[..., Any]


def policy_network(
    num_actions: int,
    encoder: Model,
    *,
    memory: str = "lstm",
    units: int = 288,
    attention: bool = False,
    num_values: int = 1,
) -> PolicyNetwork:
    """Encoder, PyTorch's LSTM cell, an actor and a critic.

        h, c = LSTM(encoder(s), h, c),    logits = W_a g_a(h) + b_a,    V = W_c g_c(h) + b_c

    g is the identity, or with `attention` a `softmax_gate` for each head (AttA2C): the memory itself is not gated.
    Heads start orthogonal with gain 1 and biases 0, the cell as PyTorch's, U(-1/sqrt(units), 1/sqrt(units)).

    Args:
        num_actions: A.
        encoder: observations [N, ...] -> [N, m].
        memory: "lstm", or "none": h is the encoder's output.
        units: n of the LSTM; without memory n = m.
        attention: whether actor and critic have a gate each.
        num_values: V, one critic for each stream of rewards.
    Raises `ValueError` for counts < 1, what is no `Model`, an unknown memory and an attention that is neither True nor
    False.
    Source: Reizinger & Szemenyei 2020, code.
    """
    check_type("policy_network", "encoder", encoder, Model)
    check_count("policy_network", "num_actions", num_actions)
    check_count("policy_network", "units", units)
    check_count("policy_network", "num_values", num_values)
    check_choice("policy_network", "memory", memory, MEMORIES)
    check_flag("policy_network", "attention", attention)
    recurrent = memory == "lstm"

    def init(key, observations):
        made = encoder.init(stream(key, "encoder"), observations)["params"]
        features = jax.eval_shape(encode, {"encoder": made}, observations)
        size, dtype = features.shape[-1], features.dtype
        params = {"encoder": made}
        if recurrent:
            params["lstm"] = _lstm_start(stream(key, "lstm"), size, units, dtype)
            size = units
        params["actor"] = linear_start(stream(key, "actor"), size, num_actions, 1.0, dtype)
        params["critic"] = linear_start(stream(key, "critic"), size, num_values, 1.0, dtype)
        if attention:
            params["actor_gate"] = gate_start(stream(key, "actor_gate"), size, dtype)
            params["critic_gate"] = gate_start(stream(key, "critic_gate"), size, dtype)
        return params

    def encode(params, observations):
        return encoder.apply({"params": params["encoder"]}, observations)[0]

    def start(params, num):
        if not recurrent:
            return ()
        zeros = jnp.zeros((num, units), params["lstm"]["hh_kernel"].dtype)
        return zeros, zeros

    def step(params, carry, observations):
        encoded = encode(params, observations)
        if not recurrent:
            return carry, encoded
        return _lstm_step(params["lstm"]["hh_kernel"], carry, _inputs(params["lstm"], encoded))

    def unroll(params, carry, observations, resets):
        num_steps, num = observations.shape[:2]
        encoded = encode(params, observations.reshape(num_steps * num, *observations.shape[2:]))
        if not recurrent:
            return encoded.reshape(num_steps, num, -1)
        inputs = _inputs(params["lstm"], encoded).reshape(num_steps, num, -1)
        return _lstm_steps(params["lstm"]["hh_kernel"], carry, inputs, resets)

    def heads(params, features):
        for_actor = gated(params["actor_gate"], features) if attention else features
        for_critic = gated(params["critic_gate"], features) if attention else features
        return linear(params["actor"], for_actor), linear(params["critic"], for_critic)

    return PolicyNetwork(init, encode, start, step, unroll, heads)


def reset_carry(carry: Any, resets: Bool[Array, " E"]) -> Any:
    """Zeros in the carry of the environments where `resets` [E]: a new episode knows nothing of the last."""
    return jax.tree.map(lambda leaf: jnp.where(resets[:, None], jnp.zeros_like(leaf), leaf), carry)


def _lstm_start(key, size, units, dtype):
    def drawn(name, *shape):
        return uniform_fan_in(stream(key, name), shape, dtype, fan_in=units)

    width = len(GATES) * units
    kernels = {"ih_kernel": drawn("ih_kernel", size, width), "hh_kernel": drawn("hh_kernel", units, width)}
    return kernels | {"ih_bias": drawn("ih_bias", width), "hh_bias": drawn("hh_bias", width)}


def _inputs(params, encoded):
    return linear({"kernel": params["ih_kernel"], "bias": params["ih_bias"] + params["hh_bias"]}, encoded)


def _lstm_step(hh_kernel, carry, inputs):
    cell, hidden = carry
    cell, hidden = lstm_gated(inputs + hidden @ hh_kernel, cell)
    return (cell, hidden), hidden


def _scan_steps(hh_kernel, carry, inputs, resets):
    def advance(carry, now):
        carry, features = _lstm_step(hh_kernel, carry, now[0])
        return reset_carry(carry, now[1]), features

    return jax.lax.scan(advance, carry, (inputs, resets))[1]


# Differentiated as it stands, the scan would add T small products to the kernel's gradient, passing over it each time.
@jax.custom_vjp
def _lstm_steps(hh_kernel, carry, inputs, resets):
    """Features h [T, E, n] of all steps. With b_t what stands before the gates, inputs_t + h_{t-1} W:

    dL/dW = sum over t and e of h_{t-1, e} (dL/db_{t, e})^T,    dL/dinputs_t = dL/db_t
    """
    return _scan_steps(hh_kernel, carry, inputs, resets)


def _lstm_steps_forward(hh_kernel, carry, inputs, resets):
    features, back = jax.vjp(lambda carry, inputs: _scan_steps(hh_kernel, carry, inputs, resets), carry, inputs)
    kept = jnp.where(resets[:-1, :, None], jnp.zeros_like(features[:-1]), features[:-1])
    return features, (back, jnp.concatenate([carry[1][None], kept]))


def _lstm_steps_backward(residuals, cotangent):
    back, hidden = residuals
    carry, before = back(cotangent)
    return jnp.einsum("ten,teg->ng", hidden, before), carry, before, None


_lstm_steps.defvjp(_lstm_steps_forward, _lstm_steps_backward)
