"""The convolutional encoder of KITTI Masks, and heads that treat blocks of dims apart."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_choice, check_count, is_integer, sizes_of
from identax.models.base import Model, from_linen
from identax.models.layers import HE_FAN_IN
from identax.models.mlp import HEADS, output_head

_SIDE = 64


class _Convnet(nn.Module):
    dim: int
    channels: tuple[int, ...]
    features: int
    head: str

    @nn.compact
    def __call__(self, x):
        if x.ndim != 4 or x.shape[1:3] != (_SIDE, _SIDE) or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"convnet: found {x.dtype} input {x.shape}, wanted float images [N, {_SIDE}, {_SIDE}, C]")
        for width in self.channels:
            x = nn.relu(self._convolution(width, x.dtype, strides=(2, 2), padding=((1, 1), (1, 1)))(x))
        x = nn.relu(self._convolution(self.features, x.dtype, padding="VALID")(x))
        x = nn.Dense(self.dim, dtype=x.dtype, param_dtype=x.dtype, kernel_init=HE_FAN_IN)(x.reshape(x.shape[0], -1))
        return output_head(self, self.head, x)

    def _convolution(self, width, dtype, **how):
        return nn.Conv(width, (4, 4), dtype=dtype, param_dtype=dtype, kernel_init=HE_FAN_IN, **how)


def convnet(
    dim: int = 10, *, head: str = "none", channels: Sequence[int] = (32, 32, 64, 64), features: int = 256
) -> Model:
    """The encoder of KITTI Masks: float images [N, 64, 64, C] -> [N, dim].

    Four 4x4 convolutions with stride 2 and padding 1, one 4x4 convolution without padding (its output is 1 x 1), each
    with ReLU; one linear layer; a head as in `mlp` ("learnable_box": sigmoid(x) * b). Kaiming-normal weights, zero
    biases; no normalisation. Parameters follow the input's dtype.
    Raises `ValueError` for other than four positive widths, dim < 1, an unknown head, or other images.
    Source: Zimmermann et al. 2021, KITTI Masks (code).
    """
    channels = sizes_of("convnet", "channels", channels)
    for size, number in {"features": features, "dim": dim}.items():
        check_count("convnet", size, number)
    if len(channels) != 4 or min(*channels, features, dim) < 1:
        raise ValueError(
            f"convnet: found channels={channels}, features={features}, dim={dim},"
            " wanted four positive channels (64 is halved to 4), features >= 1 and dim >= 1"
        )
    check_choice("convnet", "head", head, HEADS)
    return from_linen(_Convnet(dim, channels, features, head))


class _BlockHeads(nn.Module):
    sizes: tuple[int, ...]
    heads: tuple[str, ...]

    @nn.compact
    def __call__(self, x):
        if x.ndim != 2 or x.shape[1] != sum(self.sizes):
            raise ValueError(f"block_heads: found input {x.shape}, wanted [N, {sum(self.sizes)}]")
        parts, begin = [], 0
        for number, (size, head) in enumerate(zip(self.sizes, self.heads, strict=True)):
            parts.append(output_head(self, head, x[:, begin : begin + size], f"block{number}_"))
            begin += size
        return jnp.concatenate(parts, axis=1)


def block_heads(blocks: Sequence[tuple[int, str]]) -> Model:
    """Puts every block of consecutive dims of [N, n] into an output space of its own.

    `blocks`: (size, head) in order, heads as in `mlp`, with trainable radii and sizes per block. 3DIdent: three
    positions with "none", "learnable_box" or "learnable_sphere", and eight dims of angles with "learnable_sphere".
    Raises `ValueError` for no blocks, sizes < 1, an unknown head, or an input of another width.
    Source: Zimmermann et al. 2021, 3DIdent (code).
    """
    blocks = tuple(blocks)
    if not blocks or not all(is_integer(size) and size >= 1 for size, _ in blocks):
        raise ValueError(f"block_heads: found blocks={blocks}, wanted one or more (size >= 1, head)")
    for _, head in blocks:
        check_choice("block_heads", "head", head, HEADS)
    return from_linen(_BlockHeads(tuple(size for size, _ in blocks), tuple(head for _, head in blocks)))
