"""Depthwise causal convolution over time, with the window that goes on to the next column."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.models.mlp import uniform_fan_in


def last_rows(x: Float[Array, "N T d"], real: Any, count: int) -> Float[Array, "N count d"]:
    """The last `count` columns of each row that are real: [N, T] booleans, true up to a row's length; None is all.

    Every row must have at least `count` of them.
    """
    num, length, _ = x.shape
    ends = jnp.full(num, length) if real is None else real.sum(axis=1)
    places = ends[:, None] + jnp.arange(-count, 0)[None]
    return jnp.take_along_axis(x, places[:, :, None], axis=1)


class CausalConvolution(nn.Module):
    """y_t[e] = b[e] + sum_k w[k, e] x_{t - K + 1 + k}[e], zeros before the first column.

    `(x [N, T, d], window [N, K - 1, d] or None, real [N, T] or None) -> (y, window)`: the window is that of the last
    K - 1 inputs, at each row's true length. Kernel [K, d] and bias [d] start as PyTorch's, U(-1/sqrt(K), 1/sqrt(K)).
    """

    size: int

    @nn.compact
    def __call__(self, x, window, real):
        num, length, width = x.shape

        def start(key, shape, dtype):
            return uniform_fan_in(key, shape, dtype, fan_in=self.size)

        kernel = self.param("kernel", start, (self.size, width), x.dtype)
        bias = self.param("bias", start, (width,), x.dtype)
        if window is None:
            window = jnp.zeros((num, self.size - 1, width), x.dtype)
        seen = jnp.concatenate([window, x], axis=1)
        y = sum(seen[:, k : k + length] * kernel[None, None, k] for k in range(self.size)) + bias[None, None]
        known = None if real is None else jnp.concatenate([jnp.ones((num, self.size - 1), bool), real], axis=1)
        return y, last_rows(seen, known, self.size - 1)
