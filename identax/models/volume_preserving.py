"""Coupling flow that keeps volumes (GIN): invertible, and its Jacobian has determinant 1 everywhere."""

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_count, check_positive
from identax.models.base import Model, from_flax
from identax.models.layers import real_input
from identax.models.mlp import torch_linear


class _Coupling(nn.Module):
    """q <- q e^s(p) + t(p) with sum s = 0, or back."""

    hidden: int
    depth: int
    limit: float

    @nn.compact
    def __call__(self, p, q, inverse):
        x = p
        for _ in range(self.depth):
            x = nn.leaky_relu(torch_linear(self.hidden, x.dtype, x.shape[-1])(x), 0.2)
        raw, shift = jnp.split(torch_linear(2 * q.shape[-1], x.dtype, x.shape[-1])(x), 2, axis=-1)
        scale = self.limit * jnp.tanh(raw / self.limit)
        scale = scale - jnp.mean(scale, axis=-1, keepdims=True)
        return (q - shift) * jnp.exp(-scale) if inverse else q * jnp.exp(scale) + shift


class _VolumePreserving(nn.Module):
    num_layers: int
    hidden: int
    depth: int
    limit: float

    @nn.compact
    def __call__(self, x, inverse=False):
        x = real_input("volume_preserving", x)
        if x.ndim != 2 or x.shape[1] < 2:
            raise ValueError(f"volume_preserving: found input of shape {x.shape}, wanted [N, n] with n >= 2")
        half = x.shape[1] // 2
        layers = [_Coupling(self.hidden, self.depth, self.limit) for _ in range(self.num_layers)]
        turns = list(enumerate(layers))
        for number, layer in reversed(turns) if inverse else turns:
            p, q = x[:, :half], x[:, half:]
            if number % 2:
                x = jnp.concatenate([layer(q, p, inverse), q], axis=1)
            else:
                x = jnp.concatenate([p, layer(p, q, inverse)], axis=1)
        return x


def volume_preserving(*, num_layers: int = 8, hidden: int = 32, depth: int = 2, limit: float | int = 1.0) -> Model:
    """Flow g: R^n -> R^n of affine couplings of two halves (p, q) in turn, with |det dg/dx| = 1.

        q <- q exp(s(p)) + t(p),    s = c - mean(c),    c = limit tanh(raw(p) / limit)

    so that the scales of a layer sum to 0; where a half has one entry the layer is a shift. raw, t: an MLP with `depth`
    hidden layers of `hidden` leaky-ReLU units (slope 0.2). `apply(variables, x, inverse=True)` is the inverse, exact.
    With `class_gaussian_nll` its output learns the latents of a labelled nonlinear mixing.
    Raises `ValueError` for counts < 1, a limit that is not positive, input that is not [N, n >= 2], and complex input.
    Source: Sorrenson, Rother and Koethe 2020; NICE (Dinh et al. 2015) where s = 0.
    """
    for name, count in (("num_layers", num_layers), ("hidden", hidden), ("depth", depth)):
        check_count("volume_preserving", name, count)
    check_positive("volume_preserving", "limit", limit, ())
    return from_flax(_VolumePreserving(num_layers, hidden, depth, float(limit)))
