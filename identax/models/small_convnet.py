"""A convolutional network small enough for a CPU."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_count, sizes_of
from identax.models.base import Model, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.layers import HE_FAN_IN, compute_dtype, types_of
from identax.models.resnet import images_only


class _PatchConv(nn.Module):
    """A 3x3 convolution with stride 2 and padding 1, written as one matrix product.

    Under `vmap` over trials the weights are batched too, and a batched product is fast where a convolution becomes a
    grouped one.
    """

    features: int
    param_dtype: Any
    dtype: Any

    @nn.compact
    def __call__(self, x):
        height, width = (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        rows, columns = 2 * height - 1, 2 * width - 1
        shifted = [padded[:, i : i + rows : 2, j : j + columns : 2] for i in range(3) for j in range(3)]
        dense = nn.Dense(
            self.features, use_bias=False, kernel_init=HE_FAN_IN, param_dtype=self.param_dtype, dtype=self.dtype
        )
        return dense(jnp.concatenate(shifted, axis=-1))


class _SmallConvnet(nn.Module):
    channels: tuple[int, ...]
    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x):
        param_dtype, dtype = types_of(x, self.dtype)
        x = x.astype(dtype)
        for width in self.channels:
            x = nn.relu(BatchNorm()(_PatchConv(width, param_dtype, dtype)(x)))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.features, use_bias=False, kernel_init=HE_FAN_IN, param_dtype=param_dtype, dtype=dtype)(x)
        return nn.relu(BatchNorm()(x)).astype(param_dtype)


def small_convnet(channels: Sequence[int] = (16, 32, 64), *, features: int = 128, compute: str | None = None) -> Model:
    """Small convnet: images [N, H, W, C] -> features [N, `features`], for digits on a CPU.

    Per entry of `channels` a 3x3 convolution with stride 2, batch normalisation, ReLU; then all positions through one
    linear layer with batch normalisation and ReLU (no pooling over positions: where a view looked can be kept).
    `compute` as in `resnet18`. Raises `ValueError` for no or non-positive widths, an unknown type, and for other than
    float images [N, H, W, C].
    """
    channels = sizes_of("small_convnet", "channels", channels)
    check_count("small_convnet", "features", features)
    dtype = compute_dtype("small_convnet", compute)
    return images_only("small_convnet", from_linen(_SmallConvnet(channels, features, dtype)))
