"""The mirror image of KITTI Masks' encoder, for autoencoders."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_count, sizes_of
from identax.models.base import Model, from_linen
from identax.models.layers import HE_FAN_IN


class _Decoder(nn.Module):
    channels: tuple[int, ...]
    features: int
    out_channels: int

    @nn.compact
    def __call__(self, z):
        if z.ndim != 2 or not jnp.issubdtype(z.dtype, jnp.floating):
            raise ValueError(f"convnet_decoder: found {z.dtype} input {z.shape}, wanted float codes [N, n]")
        x = nn.relu(nn.Dense(self.features, dtype=z.dtype, param_dtype=z.dtype, kernel_init=HE_FAN_IN)(z))
        x = nn.relu(self._transposed(self.channels[-1], z.dtype, padding="VALID")(x[:, None, None, :]))
        for width in self.channels[-2::-1]:
            x = nn.relu(self._transposed(width, z.dtype, strides=(2, 2), padding="SAME")(x))
        return self._transposed(self.out_channels, z.dtype, strides=(2, 2), padding="SAME")(x)

    def _transposed(self, width, dtype, **how):
        return nn.ConvTranspose(width, (4, 4), dtype=dtype, param_dtype=dtype, kernel_init=HE_FAN_IN, **how)


def convnet_decoder(*, channels: Sequence[int] = (32, 32, 64, 64), features: int = 256, out_channels: int = 1) -> Model:
    """Codes [N, n] -> logits of images [N, 64, 64, out_channels]: `convnet` backwards, with its widths in its order.

    One linear layer to `features`; a transposed 4x4 convolution from 1 x 1 to 4 x 4; three that double the side and
    end in `channels[2], channels[1], channels[0]` channels, each of these with ReLU; one more to `out_channels`.
    Kaiming-normal weights, zero biases. Parameters follow the input's dtype.
    Raises `ValueError` for other than four positive channels, features or out_channels < 1, or other codes.
    Source: ours, after Klindt et al. 2021 (whose decoder also mirrors the encoder).
    """
    channels = sizes_of("convnet_decoder", "channels", channels)
    for size, number in {"features": features, "out_channels": out_channels}.items():
        check_count("convnet_decoder", size, number)
    if len(channels) != 4 or min(*channels, features, out_channels) < 1:
        raise ValueError(
            f"convnet_decoder: found channels={channels}, features={features}, out_channels={out_channels},"
            " wanted four positive channels, features >= 1 and out_channels >= 1"
        )
    return from_linen(_Decoder(channels, features, out_channels))
