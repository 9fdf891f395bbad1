"""Mamba: gated blocks around a selective state-space model, by an associative scan."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice, concrete, counts_of, shape_of
from identax.inputs import float_type, numbers
from identax.models.causal_convolution import CausalConvolution
from identax.models.mlp import torch_linear
from identax.models.sequence import Given, SequenceModel
from identax.models.sequence_frame import Group, assembled
from identax.models.token_ends import TokenEnds

HOLDS = ("euler", "exact")


def selective_scan(
    x: Given,
    delta: Given,
    a: Given,
    b: Given,
    c: Given,
    skip: Given,
    *,
    start: Given | None = None,
    hold: str = "euler",
) -> tuple[Float[Array, "*b T E"], Float[Array, "*b E N"]]:
    """h_t = exp(delta_t a) h_{t-1} + B_t x_t, y_t = sum_n c_t h_t + skip x_t; returns y and the last h.

    `hold` says how b is discretised: "euler", B_t = delta_t b_t, is what Mamba's code does; "exact", zero-order hold,
    B_t = (exp(delta_t a) - 1) / a b_t, what its paper writes. A column with delta = 0 leaves h as it was (either way).
    All columns at once by an associative scan of (g, v) o (g', v') = (g' g, g' v + v'), which keeps [..., T, E, N].
    Args: `x` and step sizes `delta` >= 0 [..., T, E]; `a` [E, N] <= 0, the rates; `b`, `c` [..., T, N]; `skip` [E];
    `start` [..., E, N], h before the first column, 0 if None.
    Raises `ValueError` for shapes that do not fit, an unknown hold, and, if known, delta < 0 and rates > 0.
    Source: Gu and Dao 2023, equations 2 to 4, section 3.3.
    """
    check_choice("selective_scan", "hold", hold, HOLDS)
    arrays = {"x": x, "delta": delta, "a": a, "b": b, "c": c, "skip": skip}
    known = [numbers("selective_scan", *one) for one in arrays.items()]
    x, delta, a, b, c, skip = (jnp.asarray(array, float_type(*known)) for array in known)
    shape = x.shape
    wanted = {"a": (shape[-1:] + a.shape[-1:]), "b": shape[:-1] + a.shape[-1:], "skip": shape[-1:], "delta": shape}
    found = {"a": a.shape, "b": b.shape, "skip": skip.shape, "delta": delta.shape}
    if found != wanted or c.shape != b.shape or 0 in shape or len(shape) < 2:
        raise ValueError(
            f"selective_scan: found x {shape}, {', '.join(f'{name} {size}' for name, size in found.items())} and "
            f"c {c.shape}, wanted x and delta [..., T, E], a [E, N], b and c [..., T, N] and skip [E]"
        )
    steps, rates = concrete(delta), concrete(a)
    if steps is not None and (steps < 0).any():
        raise ValueError(f"selective_scan: found delta down to {steps.min():g}, wanted at least 0")
    if rates is not None and (rates > 0).any():
        raise ValueError(f"selective_scan: found a up to {rates.max():g}, wanted at most 0: the state would grow")
    first = jnp.zeros((*shape[:-2], *a.shape), x.dtype) if start is None else jnp.asarray(start, x.dtype)
    if shape_of(first) != (*shape[:-2], *a.shape):
        raise ValueError(f"selective_scan: found start {first.shape}, wanted {(*shape[:-2], *a.shape)}")
    return _scanned(x, delta, a, b, c, skip, first, hold == "exact")


def _scan(x, delta, a, b, c, skip, first, exact):
    rates = a.reshape((1,) * (x.ndim - 1) + a.shape)
    steps = delta[..., None] * rates
    gains = jnp.exp(steps)
    # (exp(s) - 1) / s is 1 at s = 0: of a rate or a step of size 0.
    still = steps == 0
    growth = jnp.where(still, 1, jnp.expm1(steps) / jnp.where(still, 1, steps))
    inward = delta[..., None] * growth if exact else delta[..., None]
    values = inward * b[..., None, :] * x[..., None]
    # The first column carries what was there before.
    values = values.at[..., 0, :, :].add(gains[..., 0, :, :] * first)

    def join(left, right):
        return left[0] * right[0], right[0] * left[1] + right[1]

    _, h = jax.lax.associative_scan(join, (gains, values), axis=-3)
    y = jnp.einsum("...ten,...tn->...te", h, c) + skip.reshape((1,) * (x.ndim - 1) + skip.shape) * x
    return y, h[..., -1, :, :]


_scanned = jax.jit(_scan, static_argnums=7, inline=True)


def _step_bias(key, shape, dtype=jnp.float32):
    """softplus^-1 of log-uniform step sizes in [1e-3, .1], not below 1e-4."""
    low, high = np.log(1e-3), np.log(0.1)
    step = jnp.maximum(jnp.exp(jax.random.uniform(key, shape, dtype, low, high)), 1e-4)
    return step + jnp.log(-jnp.expm1(-step))


class _Block(nn.Module):
    states: int
    convolution: int
    expand: int
    epsilon: float
    hold: str

    @nn.compact
    def __call__(self, x, state, span, train):
        width, inner, rank = x.shape[-1], self.expand * x.shape[-1], -(-x.shape[-1] // 16)
        dtype = x.dtype

        def linear(size, fan_in, name):
            return torch_linear(size, dtype, fan_in, name=name, use_bias=False)

        window, held = (None, None) if state is None else state
        normed = nn.RMSNorm(epsilon=self.epsilon, param_dtype=dtype, name="norm")(x)
        a, z = jnp.split(linear(2 * inner, width, "in_proj")(normed), 2, axis=-1)
        u, window = CausalConvolution(self.convolution, name="conv")(a, window, span.real)
        u = jax.nn.silu(u)
        raw, b, c = jnp.split(linear(rank + 2 * self.states, inner, "x_proj")(u), [rank, rank + self.states], axis=-1)
        start = nn.initializers.uniform(2 * rank**-0.5)
        kernel = self.param(
            "step_kernel", lambda key, *rest: start(key, *rest) - jnp.asarray(rank**-0.5, dtype), (rank, inner), dtype
        )
        delta = jax.nn.softplus(raw @ kernel + self.param("step_bias", _step_bias, (inner,), dtype)[None, None])
        if span.real is not None:  # a step of size 0 leaves the state as it is
            delta = delta * span.real[:, :, None]
        log_rates = self.param(
            "a_log",
            lambda key, shape, dtype: jnp.broadcast_to(jnp.log(jnp.arange(1, shape[1] + 1, dtype=dtype)), shape),
            (inner, self.states),
            dtype,
        )
        skip = self.param("skip", nn.initializers.ones, (inner,), dtype)
        y, held = selective_scan(u, delta, -jnp.exp(log_rates), b, c, skip, start=held, hold=self.hold)
        out = x + linear(width, inner, "out_proj")(y * jax.nn.silu(z))
        return out, None if span.size is None else (window, held)


def mamba(
    vocabulary: int,
    *,
    width: int = 32,
    layers: int = 10,
    states: int = 16,
    convolution: int = 8,
    expand: int = 2,
    multiple: int = 8,
    hold: str = "euler",
    chunk: int | None = None,
) -> SequenceModel:
    """Mamba (S6): embedding, `layers` residual blocks, a last norm, a head tied to the embedding.

    Block: x + Out(y SiLU(z)); (a, z) = In(RMSNorm(x)), inner width expand * d; u = SiLU(causal convolution of a);
    (raw, b, c) = Lin(u), raw of rank ceil(d / 16); delta = softplus(W raw + bias); y = `selective_scan` with rates
    -exp(a_log). b is discretised by Euler's step, as published; `hold="exact"` is the other reading.

    There are as many logits as the next multiple of `multiple`, as published: 8 for five tokens. 1 for none to spare.
    Starts: rates 1..states, skip 1, step sizes log-uniform in [1e-3, .1], all else PyTorch's. `chunk` as in
    `transformer`. The state holds the last convolution - 1 inputs and h [N, expand d, states] of each layer.
    The defaults are the published ones, 102,368 parameters at five tokens.
    Raises `ValueError` for sizes below 1 and an unknown hold.
    Source: Gu and Dao 2023; sizes of Meszaros et al. 2024, code.
    """
    vocabulary, width, layers, states = counts_of(
        "mamba", vocabulary=vocabulary, width=width, layers=layers, states=states
    )
    convolution, expand, multiple = counts_of("mamba", convolution=convolution, expand=expand, multiple=multiple)
    check_choice("mamba", "hold", hold, HOLDS)
    rows = -(-vocabulary // multiple) * multiple
    block: Any = _Block(states, convolution, expand, 1e-5, hold)
    ends = TokenEnds(rows, width, width, norm="rms", tied=True)
    return assembled("mamba", ends, [Group(block, layers, width)], vocabulary=vocabulary, chunk=chunk)
