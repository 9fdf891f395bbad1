"""xLSTM: residual blocks of matrix and scalar memories."""

from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_nonnegative, counts_of, is_integer
from identax.models.causal_convolution import CausalConvolution
from identax.models.mlstm import mlstm
from identax.models.residual_norm import ResidualNorm
from identax.models.sequence import SequenceModel
from identax.models.sequence_frame import Group, assembled
from identax.models.slstm import SLSTM_GATES, slstm
from identax.models.token_ends import TokenEnds

_MULTIPLE = 64
"""inner widths are rounded up to multiples of it"""


def _rounded(width: float | int) -> int:
    return -int(-width // _MULTIPLE) * _MULTIPLE


class _Block(nn.Module):
    """What the two kinds share: their sizes and the starts of their kernels."""

    heads: int
    blocks: int
    convolution: int = 4
    epsilon: float = 1e-6
    chunk: int = 64

    def narrow(self, width):
        """N(0, 2 / (5 d)), for what reads the stream."""
        return nn.initializers.normal((2 / (5 * width)) ** 0.5)

    def down(self, size, dtype, name):
        """N(0, (2 / (blocks sqrt(d)))^2), for what writes to the stream."""
        start = nn.initializers.normal(2 / (self.blocks * size**0.5))
        return nn.Dense(size, use_bias=False, param_dtype=dtype, kernel_init=start, name=name)

    def up(self, size, width, dtype, name):
        return nn.Dense(size, use_bias=False, param_dtype=dtype, kernel_init=self.narrow(width), name=name)


class _Matrix(_Block):
    @nn.compact
    def __call__(self, x, state, span, train):
        (num, length, width), dtype = x.shape, x.dtype
        inner = _rounded(2 * width)
        window, held = (None, None) if state is None else state
        a, z = jnp.split(self.up(2 * inner, width, dtype, "up")(ResidualNorm(name="norm")(x)), 2, axis=-1)
        u, window = CausalConvolution(self.convolution, name="conv")(a, window, span.real)
        u = jax.nn.silu(u)

        def blockwise(name, x):
            """A linear map within every four neighbours."""
            kernel = self.param(name, self.narrow(width), (inner // 4, 4, 4), dtype)
            return jnp.einsum("ntbi,bij->ntbj", x.reshape(num, length, -1, 4), kernel).reshape(x.shape)

        def gate(name, bias: Any):
            dense = nn.Dense(
                self.heads, param_dtype=dtype, kernel_init=nn.initializers.zeros, bias_init=bias, name=name
            )
            return jnp.moveaxis(dense(jnp.concatenate([q, k, v], axis=-1)), 2, 1)

        q, k, v = blockwise("query", u), blockwise("key", u), blockwise("value", a)
        i = gate("input_gate", nn.initializers.normal(0.1))
        f = gate("forget_gate", lambda key, shape, dtype: jnp.linspace(3.0, 6.0, *shape, dtype=dtype))
        if span.real is not None:
            i, f = (jnp.where(span.real[:, None], gate, fill) for gate, fill in ((i, -jnp.inf), (f, jnp.inf)))
        q, k, v = (jnp.moveaxis(one.reshape(num, length, self.heads, -1), 2, 1) for one in (q, k, v))
        out, held = mlstm(q, k, v, i, f, chunk=self.chunk, epsilon=self.epsilon, start=held)
        out = ResidualNorm(self.heads, name="head_norm")(jnp.moveaxis(out, 1, 2).reshape(num, length, inner))
        skip = self.param("skip", nn.initializers.ones, (inner,), dtype)
        y = x + self.down(width, dtype, "down")((out + skip[None, None] * u) * jax.nn.silu(z))
        return y, None if span.size is None else (window, held)


class _Scalar(_Block):
    number: int = 0

    @nn.compact
    def __call__(self, x, state, span, train):
        (num, length, width), dtype = x.shape, x.dtype
        units, hidden = width // self.heads, _rounded(1.3 * width)
        window, held = (None, None) if state is None else state
        seen = ResidualNorm(name="norm")(x)
        u, window = CausalConvolution(self.convolution, name="conv")(seen, window, span.real)
        u, shape = jax.nn.silu(u), (len(SLSTM_GATES), self.heads, units, units)
        kernel = self.param("kernel", self.narrow(width), shape, dtype)
        sources = jnp.stack([u, u, seen, seen], axis=2).reshape(num, length, 4, self.heads, units)
        gates = jnp.einsum("ntghw,ghwv->ntghv", sources, kernel).reshape(num, length, 4, width)
        gates = gates + self.param("bias", self._bias, (4, width), dtype)[None, None]
        recurrent = self.param("recurrent", nn.initializers.zeros, shape, dtype)
        out, held = slstm(gates, recurrent, start=held, real=span.real)
        x = x + ResidualNorm(self.heads, name="head_norm")(out)
        g, v = jnp.split(self.up(2 * hidden, width, dtype, "up")(ResidualNorm(name="ff_norm")(x)), 2, axis=-1)
        y = x + self.down(width, dtype, "down")(jax.nn.gelu(g, approximate=False) * v)
        return y, None if span.size is None else (window, held)

    def _bias(self, key, shape, dtype):
        """0, but for the forget gate: 5 to -7 over the units of a head, later blocks longer at the top."""
        units = shape[1] // self.heads
        share = jnp.arange(units, dtype=dtype) / max(units - 1, 1)
        forget = 5 - 12 * share ** (0.3 + 1.3 * self.number / max(self.blocks - 1, 1))
        return jnp.zeros(shape, dtype).at[SLSTM_GATES.index("forget")].set(jnp.tile(forget, self.heads))


def xlstm(
    vocabulary: int,
    *,
    width: int = 64,
    blocks: int = 6,
    scalar_at: Sequence[int] | int = (1,),
    heads: int = 4,
    convolution: int = 4,
    epsilon: float | int = 1e-6,
    time_chunk: int = 64,
    chunk: int | None = None,
) -> SequenceModel:
    """xLSTM: embedding, residual blocks, a last norm, a head without bias.

    Matrix block: x + Down((GN(mlstm(q, k, v)) + skip u) SiLU(z)); (a, z) = Up(LN x), inner width 2 d rounded up to a
    multiple of 64; u = SiLU(causal convolution of a); q, k of u and v of a, within blocks of four; gates of (q, k, v),
    one per head. Scalar block, at the indices `scalar_at`: x + GN(slstm(LN x)), where the input and forget gates see
    SiLU(causal convolution), then x + Down(gelu(g) v), (g, v) = Up(LN x), width 1.3 d rounded likewise. No biases but
    of convolutions and gates. Norms per head and column, weight 1 + w.

    All by products and scans of JAX, in the parameters' type; what was published ran on a GPU in bfloat16. `epsilon`
    and `time_chunk` are those of `mlstm` (chunked, so m begins at 0 where the published training form has -infinity;
    outputs differ by what `epsilon` shifts, 1e-4 and less). `chunk` as in `transformer`. The state holds the last
    inputs and (C, n, m) or (y, c, n, m) of each block. The defaults are the published ones, 185,000 parameters at five
    tokens.
    Raises `ValueError` for sizes below 1, heads that do not divide the widths, and indices that are no blocks.
    Source: Beck et al. 2024 and its code; sizes of Meszaros et al. 2024, code.
    """
    vocabulary, width, blocks = counts_of("xlstm", vocabulary=vocabulary, width=width, blocks=blocks)
    heads, convolution, time_chunk = counts_of("xlstm", heads=heads, convolution=convolution, time_chunk=time_chunk)
    check_nonnegative("xlstm", "epsilon", epsilon, ())
    at = tuple(scalar_at) if isinstance(scalar_at, Iterable) else (scalar_at,)
    if not all(is_integer(number) and 0 <= number < blocks for number in at):
        raise ValueError(f"xlstm: found scalar_at={scalar_at}, wanted indices from 0 to {blocks - 1}")
    if (_rounded(2 * width) % heads and len(set(at)) < blocks) or (width % heads and at):
        raise ValueError(f"xlstm: found heads={heads} and width={width}, wanted heads that divide both kinds' widths")
    shared: dict[str, Any] = {"convolution": convolution, "epsilon": float(epsilon), "chunk": time_chunk}
    groups: list[Group] = []
    for number in range(blocks):
        if number in at:
            groups.append(Group(_Scalar(heads, blocks, number=number, **shared), 1, width))
        elif groups and isinstance(groups[-1].block, _Matrix):
            groups[-1] = groups[-1]._replace(count=groups[-1].count + 1)
        else:
            groups.append(Group(_Matrix(heads, blocks, **shared), 1, width))
    ends = TokenEnds(vocabulary, width, width, norm="residual", bias=False)
    return assembled("xlstm", ends, groups, vocabulary=vocabulary, chunk=chunk)
