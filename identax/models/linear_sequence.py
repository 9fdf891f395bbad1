"""The linear model of sequences: logits of a column are a linear function of the embeddings before it."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_choice, counts_of
from identax.models.sequence import SequenceModel, none_from_the_end, with_checks

MASKS = ("past", "future")


class _Linear(nn.Module):
    vocabulary: int
    positions: int
    width: int

    @nn.compact
    def __call__(self):
        dtype, places = jnp.result_type(float), self.positions
        bound = (6 / ((self.width + places) * places * self.vocabulary)) ** 0.5

        def start(key, shape):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        table = self.param("embedding", nn.initializers.normal(1.0), (self.vocabulary, self.width), dtype)
        kernel = self.param("kernel", start, (places, self.width, places, self.vocabulary))
        return table, kernel, self.param("bias", nn.initializers.zeros, (places, self.vocabulary), dtype)


def linear_sequence(vocabulary: int, *, positions: int, width: int = 10, mask: str = "past") -> SequenceModel:
    """logits_t = sum_s m[s, t] E[token_s] W[s, :, t, :] + bias_t, weights apart for every pair of columns.

    `mask`: "past", m[s, t] = 1 for s <= t; "future", s >= t, as published: column t then sees its own target and all
    that follows, and the published numbers are those. As a whole it is no autoregressive model; token by token, where
    what follows is not there yet, column t sees its own token alone, which is what decoding by forward passes gives.
    `positions`: columns at most, M + 1 for targets of strings up to M symbols. W starts as U(-b, b), b^2 =
    6 / ((width + positions) positions vocabulary), the bias at 0, embeddings N(0, 1). The state holds the sums of what
    was seen, for every column: [N, positions, V].
    Raises `ValueError` for sizes below 1 and an unknown mask, and when used for more columns.
    Source: Meszaros et al. 2024, code.
    """
    vocabulary, positions, width = counts_of("linear_sequence", vocabulary=vocabulary, positions=positions, width=width)
    check_choice("linear_sequence", "mask", mask, MASKS)
    module = _Linear(vocabulary, positions, width)

    def parts(params):
        found: Any = module.apply({"params": params})
        table, kernel, bias = found
        allowed = jnp.triu(jnp.ones((positions, positions), bool))  # [s, t], s <= t
        allowed = allowed if mask == "past" else allowed.T
        return table, kernel * allowed[:, None, :, None], bias

    def embedded(table, tokens):
        return jnp.take(table, none_from_the_end(tokens, vocabulary), axis=0)

    @jax.jit
    def make(key):
        return {"params": module.init(key)["params"], "state": {}}

    def whole(params, tokens, key, train):
        return forward(params, tokens)

    @jax.jit
    def forward(params, tokens):
        table, kernel, bias = parts(params)
        length = tokens.shape[1]
        x = embedded(table, tokens)
        return jnp.einsum("nsd,sdtv->ntv", x, kernel[:length, :, :length]) + bias[None, :length]

    def filled(params, tokens, lengths, size):
        logits, state = summed(params, tokens, lengths)
        return logits, state | {"room": jnp.asarray(size, jnp.int32)}

    @jax.jit
    def summed(params, tokens, lengths):
        table, kernel, bias = parts(params)
        length = tokens.shape[1]
        real = jnp.arange(length)[None] < lengths[:, None]
        x = embedded(table, jnp.where(real, tokens, 0)) * real[:, :, None]
        sums = jnp.einsum("nsd,sdtv->ntv", x, kernel[:length])
        last = jnp.maximum(lengths - 1, 0)
        logits = (_row(sums, last) + jnp.take(bias, last, axis=0)) * (lengths > 0)[:, None]
        return logits, {"sums": sums, "lengths": lengths, "slot": jnp.asarray(length, jnp.int32)}

    @jax.jit
    def advanced(params, state, token):
        table, kernel, bias = parts(params)
        place = state["lengths"]
        x, rows = embedded(table, token), jnp.take(kernel, place, axis=0)  # NaN beyond the last column
        sums = state["sums"] + jnp.einsum("nd,ndtv->ntv", x, rows)
        logits = _row(sums, jnp.minimum(place, positions - 1)) + jnp.take(bias, place, axis=0)
        logits = jnp.where(state["slot"] < state["room"], logits, jnp.nan)
        return logits, state | {"sums": sums, "lengths": place + 1, "slot": state["slot"] + 1}

    return with_checks("linear_sequence", make, whole, filled, advanced, vocabulary=vocabulary, positions=positions)


def _row(sums, place):
    """[N, positions, V] -> [N, V], the column `place` [N] of each row."""
    return jnp.take_along_axis(sums, place[:, None, None], axis=1)[:, 0]
