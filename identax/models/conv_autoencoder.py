"""Convolutional autoencoders of small square images whose side is a power of two."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_count
from identax.models.autoencoder import Autoencoder
from identax.models.base import from_linen
from identax.models.layers import real_input
from identax.models.mlp import torch_linear, uniform_fan_in

_SMALLEST = 4
"""side of the smallest feature maps"""


class HalvingConv(nn.Module):
    """PyTorch's Conv2d(C, features, 4, stride=2, padding=1) on [N, H, W, C], as one matrix product.

    The kernel [4, 4, C, features] is that of a convolution. In blocks of 2 x 2 pixels it meets 2 x 2 neighbours, so
    four shifted copies side by side are all that it sees: under `vmap` over trials, whose kernels differ, that stays a
    batched product where a convolution becomes a slow grouped one. Weights and biases U(-b, b), b = 1/sqrt(16 C).
    """

    features: int

    @nn.compact
    def __call__(self, x):
        num, height, width, channels = x.shape
        kernel, bias = _parameters(self, (channels, self.features), 16 * channels, x.dtype)
        blocks = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        blocks = blocks.reshape(num, height // 2 + 1, 2, width // 2 + 1, 2, channels).swapaxes(2, 3)
        blocks = blocks.reshape(num, height // 2 + 1, width // 2 + 1, 4 * channels)
        flat = kernel.reshape(2, 2, 2, 2, channels, self.features).swapaxes(1, 2).reshape(-1, self.features)
        return _neighbours(blocks) @ flat + bias[None, None, None]


class DoublingConv(nn.Module):
    """PyTorch's ConvTranspose2d(C, features, 4, stride=2, padding=1) on [N, H, W, C], as one matrix product.

    y[2i + k - 1] += x[i] kernel[k] along either axis: the transpose of `HalvingConv` from `features` to C channels with
    the same kernel [4, 4, features, C]. Weights and biases U(-b, b) with b = 1/sqrt(16 features), which is what
    PyTorch takes for a transposed kernel's fan-in.
    """

    features: int

    @nn.compact
    def __call__(self, x):
        num, height, width, channels = x.shape
        kernel, bias = _parameters(self, (self.features, channels), 16 * self.features, x.dtype)
        # y[2p + a - 1] is met by x[p - 1] with kernel[2 + a] and by x[p] with kernel[a].
        flat = kernel.reshape(2, 2, 2, 2, self.features, channels)[::-1, :, ::-1]
        flat = flat.transpose(0, 2, 5, 1, 3, 4).reshape(4 * channels, 4 * self.features)
        blocks = _neighbours(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))) @ flat
        blocks = blocks.reshape(num, height + 1, width + 1, 2, 2, self.features).swapaxes(2, 3)
        image = blocks.reshape(num, 2 * height + 2, 2 * width + 2, self.features)
        return image[:, 1:-1, 1:-1] + bias[None, None, None]


class _Encoder(nn.Module):
    n: int
    side: int
    channels: int
    features: int

    @nn.compact
    def __call__(self, x):
        x = real_input("conv_autoencoder", x)
        if x.ndim != 4 or x.shape[1:3] != (self.side, self.side):
            raise ValueError(f"conv_autoencoder: found input {x.shape}, wanted images [N, {self.side}, {self.side}, C]")
        while x.shape[1] > _SMALLEST:
            x = nn.relu(HalvingConv(self.channels)(x))
        x = x.reshape(x.shape[0], -1)
        for width in (self.features, self.features):
            x = nn.relu(_linear(width, x)(x))
        return _linear(2 * self.n, x)(x)


class _Decoder(nn.Module):
    n: int
    side: int
    image_channels: int
    channels: int
    features: int

    @nn.compact
    def __call__(self, z):
        x = real_input("conv_autoencoder", z)
        if x.ndim != 2 or x.shape[1] != self.n:
            raise ValueError(f"conv_autoencoder: found codes {x.shape}, wanted [N, {self.n}]")
        for width in (self.features, self.features, _SMALLEST**2 * self.channels):
            x = nn.relu(_linear(width, x)(x))
        x = x.reshape(x.shape[0], _SMALLEST, _SMALLEST, self.channels)
        while 2 * x.shape[1] < self.side:
            x = nn.relu(DoublingConv(self.channels)(x))
        return DoublingConv(self.image_channels)(x)


def conv_autoencoder(
    n: int, side: int = 64, *, image_channels: int = 3, channels: int = 32, features: int = 256
) -> Autoencoder:
    """A VAE of images [N, side, side, image_channels]: convolutions down to 4 x 4, two hidden layers, and their mirror.

    Encoder: per halving a 4x4 convolution with stride 2 and padding 1 to `channels`, ReLU; two linear layers of
    `features`, ReLU; 2n moments. Decoder: n -> features -> features -> 16 channels, ReLU after each; per doubling a
    transposed 4x4 convolution with stride 2 and padding 1, ReLU after all but the last, which has `image_channels`.
    Nothing squashes the output. Linear maps start Xavier-uniform, all else as in PyTorch. With n = 4 at 64 x 64 x 3:
    249,992 and 249,443 parameters; each halving of `side` takes one convolution off both.
    Raises `ValueError` for a side that is not 8, 16, 32, ..., sizes < 1, and other images or codes.
    Source: Reizinger et al. 2022, code.
    """
    where = "conv_autoencoder"
    sizes = {"n": n, "image_channels": image_channels, "channels": channels, "features": features}
    for name, size in sizes.items():
        check_count(where, name, size)
    check_count(where, "side", side, 2 * _SMALLEST)
    if side & (side - 1):
        raise ValueError(f"{where}: found side={side}, wanted a power of two, at least {2 * _SMALLEST}")
    encoder = _Encoder(n, side, channels, features)
    return Autoencoder(from_linen(encoder), from_linen(_Decoder(n, side, image_channels, channels, features)))


def _linear(width, x):
    return torch_linear(width, x.dtype, x.shape[-1], "xavier_uniform")


def _parameters(module, ends, fan_in, dtype):
    """Kernel [4, 4, *ends] and bias [features], both U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""

    def start(key, shape, dtype) -> jax.Array:
        return uniform_fan_in(key, shape, dtype, fan_in=fan_in)

    kernel = module.param("kernel", start, (4, 4, *ends), dtype)
    return kernel, module.param("bias", start, (module.features,), dtype)


def _neighbours(x):
    """Every pixel with those right of, below and diagonally below it: [N, H, W, C] -> [N, H-1, W-1, 4C]."""
    return jnp.concatenate([x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]], axis=-1)
