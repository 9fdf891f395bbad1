"""The LSTM as PyTorch has it, four gates in one matrix, and networks of one or two of them."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_count, sizes_of
from identax.models.base import Model, from_linen
from identax.models.mlp import torch_linear, uniform_fan_in
from identax.models.recurrent import Recurrent, scan_over_time
from identax.rng import stream

GATES = ("input", "forget", "cell", "output")
"""which quarter of the last axis of `torch_lstm`'s parameters belongs to which gate"""


def gated(before: Any, cell: Any) -> tuple[Any, Any]:
    """One step: the gates before their functions, [N, 4 features] in the order of `GATES`, and c -> (c', h')."""
    i, f, g, o = jnp.split(before, len(GATES), axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return cell, jax.nn.sigmoid(o) * jnp.tanh(cell)


class _TorchLSTMCell(nn.Module):
    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry, x):
        def start(key, shape, dtype):
            return uniform_fan_in(key, shape, dtype, fan_in=self.features)

        def parameter(name, *axes):
            return self.param(name, start, (*axes, 4 * self.features), self.param_dtype)

        cell, hidden = carry
        before = x @ parameter("ih_kernel", x.shape[-1]) + hidden @ parameter("hh_kernel", self.features)
        before = before + (parameter("ih_bias") + parameter("hh_bias"))[None]
        cell, hidden = gated(before, cell)
        return (cell, hidden), hidden

    @nn.nowrap
    def initialize_carry(self, key, input_shape):
        zeros = jnp.zeros((input_shape[0], self.features), self.param_dtype)
        return zeros, zeros


def torch_lstm(features: int, *, learned_carry: bool = False) -> Recurrent:
    """`lstm` with PyTorch's parameters and start: x [N, T, d] -> outputs h [N, T, features], carry (c, h).

    `ih_kernel` [d, 4 features], `hh_kernel` [features, 4 features] and two biases [4 features], the gates in the order
    of `GATES` along the last axis; all start as U(-1/sqrt(features), 1/sqrt(features)). For what treats weights by
    matrix, such as reinitialising or shuffling them, and their entropy, it matters how they are cut.
    Arguments and errors as in `lstm`. Source: PyTorch's `LSTM`, whose weights are the transposes.
    """
    check_count("torch_lstm", "features", features)
    return scan_over_time(_TorchLSTMCell(features), learned_carry=learned_carry)


class _TorchLinear(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return torch_linear(self.width, x.dtype, x.shape[-1], name="fc")(x)


def lstm_network(features: Sequence[int], *, outputs: int | None = None) -> Model:
    """Sequences x [N, T, d] -> what the last step says, [N, outputs]: layers of `torch_lstm`, then a linear map.

    The parameters are `lstm1`, `lstm2`, ... and `fc`. Without `outputs` the last layer's h is the output, which as a
    logit keeps probabilities within .269 ... .731. Published: (100, 50) with 10 outputs for rows of digits, (40, 50)
    with 3 for a series of three channels, (88,) for chorales.
    Raises `ValueError` for no or non-positive widths, outputs < 1, and input as `scan_over_time`.
    Source: Reizinger & Gyires-Toth 2019, code.
    """
    features = sizes_of("lstm_network", "features", features)
    layers = {f"lstm{number}": torch_lstm(size) for number, size in enumerate(features, 1)}
    if outputs is not None:
        check_count("lstm_network", "outputs", outputs)
    head = None if outputs is None else from_linen(_TorchLinear(outputs))

    def init(key, example):
        params, x = {}, example
        for name, layer in layers.items():
            made = layer.init(stream(key, name), x)
            params[name] = made["params"]["cell"]
            x = jnp.zeros((*x.shape[:2], made["params"]["cell"]["hh_kernel"].shape[0]), x.dtype)
        if head is not None:
            params |= head.init(stream(key, "fc"), x[:, -1])["params"]
        return {"params": params, "state": {}}

    def apply(variables, x, *, train=False, key=None):
        for name, layer in layers.items():
            (x, _), _ = layer.apply({"params": {"cell": variables["params"][name]}, "state": {}}, x)
        x = x[:, -1]
        if head is not None:
            x, _ = head.apply({"params": {"fc": variables["params"]["fc"]}, "state": {}}, x)
        return x, {}

    return Model(init, apply)
