"""The decoder-only transformer of the published experiments, and with the norms before its blocks."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_between, check_choice, check_positive, counts_of
from identax.models.mlp import torch_linear
from identax.models.narrow_attention import MOST_COLUMNS, MOST_WIDTH
from identax.models.narrow_block import narrow_block, shapes_kept
from identax.models.norm_places import PLACES, placed
from identax.models.sequence import SequenceModel
from identax.models.sequence_frame import Group, Span, assembled
from identax.models.short_dropout import ShortDropout, kept
from identax.models.token_ends import ENCODINGS, TokenEnds

_UNROLLED = 4
"""layers up to which whole rows go through them without a loop"""


class _Attention(nn.Module):
    """Multi-head self-attention with PyTorch's packed projection; see `_read` for rows that see nothing."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x, cache, span: Span, train):
        num, length, width = x.shape
        packed = nn.Dense(3 * width, param_dtype=x.dtype, kernel_init=nn.initializers.xavier_uniform(), name="in_proj")(
            x
        )
        query, key, value = jnp.split(packed.reshape(num, length, 3 * self.heads, -1), 3, axis=2)
        if cache is None:
            causal = jnp.tril(jnp.ones((length, length), bool))
            mask = causal[None] & span.visible[:, None, :]
        else:  # the mask of the cache is causal already: what comes later is not in it
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new, span.slot, axis=1)
                for old, new in zip(cache, (key, value), strict=True)
            )
            mask = span.visible[:, None, :]
        read = self._read(query, key, value, mask, train).reshape(num, length, width)
        out = nn.Dense(width, param_dtype=x.dtype, kernel_init=_torch_start, name="out_proj")(read)
        if span.size is None:
            return out, None
        if cache is None:
            room = ((0, 0), (0, span.size - length), (0, 0), (0, 0))
            key, value = jnp.pad(key, room), jnp.pad(value, room)
        return out, (key, value)

    def _read(self, query, key, value, mask, train):
        """Softmax over the visible keys; a query that sees none (a row that starts with padding) reads zeros.

        Flax's own attention gives such a query the mean over all keys, future ones and empty places of the cache too.
        """
        scores = jnp.einsum("nthe,nshe->nhts", query, key) / query.shape[-1] ** 0.5
        mask = mask[:, None]
        weights = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(scores.dtype).min), axis=-1)
        weights = weights * mask.any(axis=-1, keepdims=True)
        weights = ShortDropout(self.dropout)(weights, not train)
        return jnp.einsum("nhts,nshe->nthe", weights, value)


def _torch_start(key, shape, dtype, *_):
    bound = 1 / shape[0] ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class _Block(nn.Module):
    heads: int
    hidden: int
    dropout: float
    epsilon: float
    norm: str

    @nn.compact
    def __call__(self, x, cache, span, train):
        if not self.is_initializing() and self._is_narrow(x, span):
            return self._narrow(x, span.visible, train), None

        def normed(x, name):
            norm = nn.LayerNorm(epsilon=self.epsilon, param_dtype=x.dtype, use_fast_variance=False, name=name)
            return norm(x)

        def dropped(x):
            return ShortDropout(self.dropout)(x, not train)

        attention, width = _Attention(self.heads, self.dropout, name="attention"), x.shape[-1]
        first = torch_linear(self.hidden, x.dtype, width, name="linear1")
        second = torch_linear(width, x.dtype, self.hidden, name="linear2")

        def attended(x):
            nonlocal cache
            read, cache = attention(x, cache, span, train)
            return dropped(read)

        def forward(x):
            return dropped(second(dropped(jax.nn.relu(first(x)))))

        return placed(self.norm, x, attended, forward, normed), cache

    def _is_narrow(self, x, span):
        columns, width = x.shape[1:]
        small = columns <= MOST_COLUMNS and width <= MOST_WIDTH * self.heads
        return small and span.size is None and jax.default_backend() == "cpu"

    def _narrow(self, x, visible, train):
        """The same for whole rows with few columns and narrow heads on a CPU, see `narrow_block`."""
        masks, rescaled = None, 1.0
        if train and self.dropout:
            num, length, width = x.shape
            shapes = shapes_kept(self.heads, width, self.hidden, length, num)
            masks, rescaled = kept(self.make_rng("dropout"), self.dropout, shapes)
        found = narrow_block(
            self.variables["params"],
            x.transpose(2, 1, 0),
            visible.T,
            masks,
            rescaled=rescaled,
            heads=self.heads,
            epsilon=self.epsilon,
            norm=self.norm,
        )
        return found.transpose(2, 1, 0)


def transformer(
    vocabulary: int,
    *,
    width: int = 10,
    heads: int = 5,
    layers: int = 5,
    hidden: int = 1024,
    dropout: float | int = 0.1,
    encoding: str = "position",
    norm: str = "post",
    identical: bool = True,
    epsilon: float | int = 6e-3,
    pad: int | None = None,
    chunk: int | None = None,
) -> SequenceModel:
    """Decoder-only transformer: embedding times sqrt(d) plus codes, `layers` blocks, a linear head.

    Block, post-norm: x = LN(x + Drop(MHA(x))), x = LN(x + Drop(W2 Drop(ReLU(W1 x + b1)) + b2)); "pre" puts the norms
    before MHA and W1 and one more before the head. MHA is causal with scale 1/sqrt(d / heads), its weights are dropped
    out too. Tokens `pad` are hidden as keys, also where they were generated; None hides none. Biased variance in LN.

    * `encoding`: sinusoids by "position"; by "batch_index", as published: row b has the code of position b everywhere,
      so equal rows differ and there are no positions but for the mask; or "none"
    * `identical`, as published: all layers start from the same weights. Start of PyTorch: embedding N(0, 1), packed
      projection [d, 3 d] Xavier-uniform with zero bias, all other kernels U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    * `chunk`: so many rows at a time go through a block, computed again backwards (`over_rows`): the memory of `chunk`
      rows of attention and hidden units instead of all, for one more forward pass. It draws other dropouts

    The defaults are the published ones for figures, with 110,075 parameters at five tokens; (8, 4, 3, 1024) was used
    in the text. The state holds keys and values [layers, N, size, heads, d / heads].
    Raises `ValueError` for sizes below 1, heads that do not divide the width, a dropout outside 0..1, an unknown
    encoding or norm, epsilon <= 0, and a `pad` that is no token.
    Source: Reizinger et al. 2024 and Meszaros et al. 2024, code; Vaswani et al. 2017.
    """
    vocabulary, width, heads, layers, hidden = counts_of(
        "transformer", vocabulary=vocabulary, width=width, heads=heads, layers=layers, hidden=hidden
    )
    if width % heads:
        raise ValueError(f"transformer: found heads={heads} and width={width}, wanted heads that divide the width")
    check_between("transformer", "dropout", dropout, 0, 1, ())
    check_choice("transformer", "encoding", encoding, ENCODINGS)
    check_choice("transformer", "norm", norm, PLACES)
    check_positive("transformer", "epsilon", epsilon, ())
    ends = TokenEnds(
        vocabulary,
        width,
        width,
        encoding=encoding,
        scaled=True,
        dropout=float(dropout),
        norm="layer" if norm == "pre" else "none",
        epsilon=float(epsilon),
    )
    block: Any = _Block(heads, hidden, float(dropout), float(epsilon), norm)
    return assembled(
        "transformer",
        ends,
        [Group(block, layers, width, unrolled=layers <= _UNROLLED)],
        vocabulary=vocabulary,
        pad=pad,
        attends=True,
        identical=identical,
        chunk=chunk,
        draws=dropout > 0,
    )
