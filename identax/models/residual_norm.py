"""Layer norm per head whose weight is 1 + w: weight decay pulls it to 1, not to 0."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class ResidualNorm(nn.Module):
    """(x - mean) / sqrt(var + epsilon) within each of `heads` equal parts of the last axis, times 1 + w, no bias."""

    heads: int = 1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x):
        parts = x.reshape(*x.shape[:-1], self.heads, -1)
        parts = parts - parts.mean(axis=-1, keepdims=True)
        parts = parts * jax.lax.rsqrt(jnp.square(parts).mean(axis=-1, keepdims=True) + self.epsilon)
        scale = 1 + self.param("weight", nn.initializers.zeros, x.shape[-1:], x.dtype)
        return parts.reshape(x.shape) * scale.reshape((1,) * (x.ndim - 1) + scale.shape)
