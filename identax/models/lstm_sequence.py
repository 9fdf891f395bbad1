"""A stack of LSTMs over tokens."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_between, counts_of
from identax.models.mlp import uniform_fan_in
from identax.models.sequence import SequenceModel
from identax.models.sequence_frame import Group, assembled
from identax.models.token_ends import TokenEnds
from identax.models.torch_lstm import GATES, gated


class _Layer(nn.Module):
    """`torch_lstm`'s parameters and numbers; the inputs' product is one for all columns, and padding holds."""

    features: int

    @nn.compact
    def __call__(self, x, state, span, train):
        def start(key, shape, dtype):
            return uniform_fan_in(key, shape, dtype, fan_in=self.features)

        def parameter(name, *axes):
            return self.param(name, start, (*axes, len(GATES) * self.features), x.dtype)

        num, length, _ = x.shape
        inward, across = parameter("ih_kernel", x.shape[-1]), parameter("hh_kernel", self.features)
        before = x @ inward + (parameter("ih_bias") + parameter("hh_bias"))[None, None]
        if state is None:
            state = (jnp.zeros((num, self.features), x.dtype),) * 2
        real = jnp.ones((num, length), bool) if span.real is None else span.real

        def step(carry, now):
            before, real = now
            cell, hidden = gated(before + carry[1] @ across, carry[0])
            carry = jax.tree.map(lambda new, old: jnp.where(real[:, None], new, old), (cell, hidden), carry)
            return carry, hidden

        state, outputs = jax.lax.scan(step, state, (before.swapaxes(0, 1), real.swapaxes(0, 1)))
        return outputs.swapaxes(0, 1), None if span.size is None else state


def lstm_sequence(
    vocabulary: int,
    *,
    width: int = 10,
    features: int = 64,
    layers: int = 5,
    dropout: float | int = 0.4,
    chunk: int | None = None,
) -> SequenceModel:
    """Embedding, `layers` of `torch_lstm` with `features` units, dropout on their outputs, a linear head.

    No dropout between layers. Start of PyTorch. `chunk` as in `transformer`. The state holds (c, h) [N, features] of
    each layer. The defaults are the published ones.
    Raises `ValueError` for sizes below 1 and a dropout outside 0..1.
    Source: Hochreiter and Schmidhuber 1997; sizes of Meszaros et al. 2024, code.
    """
    vocabulary, width, features, layers = counts_of(
        "lstm_sequence", vocabulary=vocabulary, width=width, features=features, layers=layers
    )
    check_between("lstm_sequence", "dropout", dropout, 0, 1, ())
    ends = TokenEnds(vocabulary, width, features, output_dropout=float(dropout))
    layer: Any = _Layer(features)
    groups = [Group(layer, 1, width), Group(layer, layers - 1, features)][: 1 + (layers > 1)]
    return assembled("lstm_sequence", ends, groups, vocabulary=vocabulary, chunk=chunk, draws=dropout > 0)
