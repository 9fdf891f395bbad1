"""Residual networks for images: 18 and 50 layers, stems for small and for large images."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_choice
from identax.models.base import Model, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.layers import compute_dtype, types_of

STEMS = ("cifar", "imagenet")
_HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def _conv(features: int, size: int, stride: int, param_dtype: Any, dtype: Any) -> nn.Conv:
    # Explicit padding: "SAME" pads strided convolutions unevenly, unlike the published networks.
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding=[(size // 2, size // 2)] * 2,
        use_bias=False,
        kernel_init=_HE,
        dtype=dtype,
        param_dtype=param_dtype,
    )


class _Block(nn.Module):
    """Two 3x3 convolutions (basic), or 1x1, 3x3, 1x1 with four times the outputs (bottleneck), beside a shortcut."""

    features: int
    stride: int
    bottleneck: bool
    zero_init: bool
    param_dtype: Any
    dtype: Any

    @nn.compact
    def __call__(self, x):
        def conv(size, stride, features):
            return _conv(features, size, stride, self.param_dtype, self.dtype)

        width = self.features
        # The stride sits in the 3x3 convolution of a bottleneck (version 1.5).
        layers = [(1, 1, width), (3, self.stride, width), (1, 1, 4 * width)]
        layers = layers if self.bottleneck else [(3, self.stride, width), (3, 1, width)]
        last = nn.initializers.zeros if self.zero_init else nn.initializers.ones
        y = x
        for number, layer in enumerate(layers):
            ends = number + 1 == len(layers)
            y = BatchNorm(scale_init=last if ends else nn.initializers.ones)(conv(*layer)(y))
            y = y if ends else nn.relu(y)
        if x.shape != y.shape:
            x = BatchNorm()(conv(1, self.stride, layers[-1][2])(x))
        return nn.relu(x + y)


class _ResNet(nn.Module):
    sizes: tuple[int, ...]
    bottleneck: bool
    width: int
    stem: str
    num_classes: int | None
    dtype: Any
    remat: bool
    zero_init: bool

    @nn.compact
    def __call__(self, x):
        param_dtype, dtype = types_of(x, self.dtype)
        block = nn.remat(_Block) if self.remat else _Block
        x = x.astype(dtype)
        large = self.stem == "imagenet"
        x = nn.relu(BatchNorm()(_conv(self.width, 7 if large else 3, 2 if large else 1, param_dtype, dtype)(x)))
        if large:
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage, num_blocks in enumerate(self.sizes):
            for number in range(num_blocks):
                x = block(
                    self.width * 2**stage,
                    2 if stage and not number else 1,
                    self.bottleneck,
                    self.zero_init,
                    param_dtype,
                    dtype,
                    # One name with and without rematerialisation, so that parameters are interchangeable.
                    name=f"stage{stage + 1}_block{number + 1}",
                )(x)
        x = x.astype(param_dtype).mean(axis=(1, 2))
        return x if self.num_classes is None else nn.Dense(self.num_classes, param_dtype=param_dtype)(x)


def _resnet(
    name: str,
    sizes: Sequence[int],
    bottleneck: bool,
    stem: str,
    width: int,
    num_classes: int | None,
    compute: str | None,
    remat: bool,
    zero_init_residual: bool,
) -> Model:
    check_choice(name, "stem", stem, STEMS)
    if width < 1 or (num_classes is not None and num_classes < 1):
        raise ValueError(f"{name}: found width={width}, num_classes={num_classes}, wanted positive integers")
    dtype = compute_dtype(name, compute)
    return images_only(
        name, from_linen(_ResNet(tuple(sizes), bottleneck, width, stem, num_classes, dtype, remat, zero_init_residual))
    )


def images_only(name: str, model: Model) -> Model:
    """Refuses other than float images [N, H, W, C], at init and at every apply."""

    def check(x):
        if x.ndim != 4 or 0 in x.shape or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"{name}: found {x.dtype} input of shape {x.shape}, wanted float images [N, H, W, C]")

    def init(key, example):
        check(example)
        return model.init(key, example)

    def apply(variables, x, *, train=False, key=None):
        check(x)
        return model.apply(variables, x, train=train, key=key)

    return Model(init, apply)


def resnet18(
    *,
    stem: str = "cifar",
    width: int = 64,
    num_classes: int | None = None,
    compute: str | None = None,
    remat: bool = False,
    zero_init_residual: bool = False,
) -> Model:
    """ResNet-18: images [N, H, W, C] -> features [N, 8 width] (512), or logits with `num_classes`.

    Stages of (2, 2, 2, 2) basic blocks. `stem` "cifar": 3x3 convolution, no pooling; "imagenet": 7x7 with stride 2 and
    3x3 max-pooling with stride 2. Convolutions start He-normal (fan out); `zero_init_residual` starts every block as
    the identity. Parameters have the images' type, at least float32; `compute` "bfloat16" runs convolutions in half
    precision, while parameters, statistics and output stay float32. `remat` recomputes blocks in the backward pass:
    less memory, same numbers. Batch statistics are the model's `state`, see `BatchNorm`.
    Raises `ValueError` for an unknown stem or type, a width < 1, and for other than float images [N, H, W, C].
    Source: He et al. 2016; the small stem as in SimCLR, appendix B.9.
    """
    return _resnet("resnet18", (2, 2, 2, 2), False, stem, width, num_classes, compute, remat, zero_init_residual)


def resnet50(
    *,
    stem: str = "imagenet",
    width: int = 64,
    num_classes: int | None = None,
    compute: str | None = None,
    remat: bool = False,
    zero_init_residual: bool = False,
) -> Model:
    """ResNet-50: images [N, H, W, C] -> features [N, 32 width] (2048); (3, 4, 6, 3) bottleneck blocks (version 1.5).

    Arguments and errors as in `resnet18`. Source: He et al. 2016.
    """
    return _resnet("resnet50", (3, 4, 6, 3), True, stem, width, num_classes, compute, remat, zero_init_residual)
