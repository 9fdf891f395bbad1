"""Multiplicative attention: every entry of a vector times a softmax over the entries."""

from typing import Any

import jax
import jax.numpy as jnp

from identax.checks import check_real
from identax.models.agent_encoders import linear
from identax.models.base import Model
from identax.models.mlp import uniform_fan_in
from identax.rng import stream


def softmax_gate() -> Model:
    """x [..., n] -> x * softmax(W s + b) [..., n], with s = x unless `source` [..., n] is given.

    The weights sum to 1 over the n entries, so that at the start, where they are about equal, the output is about x / n
    and so are the gradients into x. Weights and biases start as U(-1/sqrt(n), 1/sqrt(n)). `apply(variables, x,
    source)`; the weights themselves are the output for x = 1.
    Raises `ValueError` for an input of another size than the gate was made for, one without axes, what are no real
    numbers, and a source of another shape than the input's.
    Source: Reizinger & Szemenyei 2020, code.
    """

    def init(key, example):
        _check_vectors("input", example)
        size, dtype = example.shape[-1], jnp.result_type(float, example.dtype)
        return {"params": gate_start(key, size, dtype), "state": {}}

    def apply(variables, x, source=None, *, train=False, key=None):
        _check_vectors("input", x)
        if source is not None:
            _check_vectors("source", source)
        return gated(variables["params"], x, source), {}

    return Model(init, apply)


def _check_vectors(name, x):
    check_real("softmax_gate", name, x)
    if not getattr(x, "shape", ()):
        raise ValueError(
            f"softmax_gate: found {name} of type {type(x).__name__} without axes, wanted an array [..., n]"
        )


def gate_start(key: Any, size: int, dtype: Any) -> dict[str, Any]:
    """Parameters of a gate of `size` entries."""
    kernel = uniform_fan_in(stream(key, "kernel"), (size, size), dtype)
    return {"kernel": kernel, "bias": uniform_fan_in(stream(key, "bias"), (size,), dtype, fan_in=size)}


def gate_weights(params: Any, source: Any) -> Any:
    """softmax(W s + b) of s [..., n]; raises `ValueError` for another n than the parameters'."""
    if source.shape[-1] != params["kernel"].shape[0]:
        raise ValueError(
            f"softmax_gate: found an input of {source.shape[-1]} entries, wanted {params['kernel'].shape[0]} as the "
            "gate has"
        )
    return jax.nn.softmax(linear(params, source))


def gated(params: Any, x: Any, source: Any = None) -> Any:
    """x * softmax(W s + b), s = `source` or x; raises `ValueError` for another size of either than the parameters', and
    for a source of another shape than x.
    """
    source = x if source is None else source
    if source.shape != x.shape:
        raise ValueError(f"softmax_gate: found a source of shape {source.shape}, wanted {x.shape} as the input has")
    return x * gate_weights(params, source)
