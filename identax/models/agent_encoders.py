"""Encoders of observations for agents: frames to feature vectors, every convolution as patches and a matrix product.

XLA's convolutions are slow on a CPU, more so where every trial brings its own weights; a product of patches is neither.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from identax.checks import check_choice, check_count, check_real, sizes_of
from identax.models.base import Model
from identax.models.orthogonal import orthogonal
from identax.rng import stream

LAYOUTS = ("channels_last", "channels_first")
SLOPE = 0.01
GAIN = (2 / (1 + SLOPE**2)) ** 0.5
"""keeps the size of what passes a LeakyReLU of that slope"""
_KERNEL, _FILTERS, _LAYERS = 3, 32, 4


def linear_start(key: Any, fan_in: int, width: int, gain: float, dtype: Any) -> dict[str, Any]:
    """Parameters of a linear map: an `orthogonal` kernel, biases 0."""
    return {"kernel": orthogonal(key, fan_in, width, gain, dtype), "bias": jnp.zeros(width, dtype)}


def linear(params: Any, x: Any) -> Any:
    """x [..., in] -> x W + b [..., out]. Raises `ValueError` for an input of another size than at the start."""
    if x.shape[-1] != len(params["kernel"]):
        raise ValueError(
            f"linear: found an input of {x.shape[-1]} entries, wanted {len(params['kernel'])} as at the start"
        )
    out = x @ params["kernel"]
    return out + jnp.broadcast_to(params["bias"], out.shape)


def as_frames(where: str, x: Any, layout: str) -> Any:
    """Frames as floats [N, H, W, C]; bytes are divided by 255. Raises `ValueError` for other than four axes."""
    x = _as_input(where, x)
    if x.ndim != 4:
        raise ValueError(f"{where}: found observations of shape {x.shape}, wanted frames with channels [N, ...]")
    return x if layout == "channels_last" else jnp.moveaxis(x, 1, -1)


def patches(x: Any, *, stride: int = 1) -> Any:
    """Windows of 3 x 3 of frames [N, H, W, C], flattened row by row with the channel last: [N, H', W', 9 C]."""
    for axis in (2, 1):
        last = (x.shape[axis] - _KERNEL) // stride * stride + 1
        cut = [jax.lax.slice_in_dim(x, at, at + last, stride, axis) for at in range(_KERNEL)]
        x = jnp.concatenate(cut, axis=-1)
    return x


def conv_block(*, layout: str = "channels_last") -> Model:
    """Frames -> features: four convolutions that halve the frame, LeakyReLU, average pooling; 84 x 84 -> 288.

    Each convolution is 3 x 3 to 32 filters with stride 2, zeros of width 1 around the frame and a LeakyReLU of slope
    .01 behind it (84 -> 42 -> 21 -> 11 -> 6); then the mean of every 2 x 2 block, and flattening in the order
    (channel, row, column). Weights start orthogonal as a matrix [32, 9 C] with gain sqrt(2 / (1 + .01^2)), biases at 0.
    Bytes are divided by 255, other numbers taken as they are.
    Args: `layout` of a frame, [N, H, W, C] or [N, C, H, W]. Raises `ValueError` for an unknown layout, input of other
    than four axes, frames smaller than 17 x 17, of which pooling would leave nothing, and channels other than at the
    start.
    Source: Reizinger & Szemenyei 2020, code.
    """
    check_choice("conv_block", "layout", layout, LAYOUTS)

    def frames(x):
        x = as_frames("conv_block", x, layout)
        if min(x.shape[1:3]) < 17:
            raise ValueError(f"conv_block: found frames of {x.shape[1]} x {x.shape[2]}, wanted 17 x 17 at least")
        return x

    def init(key, example):
        x = frames(example)
        params, channels = {}, x.shape[-1]
        for number in range(1, _LAYERS + 1):
            made = orthogonal(stream(key, f"conv{number}"), channels * _KERNEL**2, _FILTERS, GAIN, x.dtype)
            # Orthogonality does not depend on the order of the inputs: ours is (row, column, channel).
            params[f"conv{number}"] = {"kernel": made, "bias": jnp.zeros(_FILTERS, x.dtype)}
            channels = _FILTERS
        return {"params": params, "state": {}}

    def apply(variables, x, *, train=False, key=None):
        x = frames(x)
        _check_channels("conv_block", x, variables["params"]["conv1"])
        for number in range(1, _LAYERS + 1):
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            x = jax.nn.leaky_relu(linear(variables["params"][f"conv{number}"], patches(x, stride=2)), SLOPE)
        num, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        x = x.reshape(num, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        return jnp.moveaxis(x, -1, 1).reshape(num, -1), {}

    return Model(init, apply)


def small_image_encoder(features: int = 288, *, filters: int = 16, layout: str = "channels_last") -> Model:
    """Small frames -> features [N, features]: one 3 x 3 convolution without padding, ReLU, a linear map, ReLU.

    For worlds of 10 x 10 cells (MinAtar), whose frames the published stack would shrink to nothing. Kernels start
    orthogonal with gain sqrt(2), biases at 0. Raises `ValueError` for features or filters < 1, an unknown layout, input
    of other than four axes, frames below 3 x 3, and frames of other sizes than at the start.
    Source: Young & Tian 2019 for the convolution.
    """
    check_count("small_image_encoder", "features", features)
    check_count("small_image_encoder", "filters", filters)
    check_choice("small_image_encoder", "layout", layout, LAYOUTS)

    def frames(x):
        x = as_frames("small_image_encoder", x, layout)
        if min(x.shape[1:3]) < _KERNEL:
            raise ValueError(f"small_image_encoder: found frames of {x.shape[1:3]}, wanted 3 x 3 at least")
        return x

    def init(key, example):
        x = frames(example)
        places = (x.shape[1] - _KERNEL + 1) * (x.shape[2] - _KERNEL + 1)
        conv = linear_start(stream(key, "conv"), x.shape[-1] * _KERNEL**2, filters, 2**0.5, x.dtype)
        dense = linear_start(stream(key, "dense"), places * filters, features, 2**0.5, x.dtype)
        return {"params": {"conv": conv, "dense": dense}, "state": {}}

    def apply(variables, x, *, train=False, key=None):
        params, x = variables["params"], frames(x)
        _check_channels("small_image_encoder", x, params["conv"])
        x = jax.nn.relu(linear(params["conv"], patches(x)))
        return jax.nn.relu(linear(params["dense"], x.reshape(len(x), -1))), {}

    return Model(init, apply)


def flat_encoder(widths: Sequence[int] = (64, 64)) -> Model:
    """Observations of any shape, flattened -> [N, widths[-1]]: linear maps with tanh behind each.

    Kernels start orthogonal with gain sqrt(2), biases at 0; bytes are divided by 255. Raises `ValueError` for no or
    non-positive widths and observations of another size than at the start. Two of 64 are what policies of
    low-dimensional worlds usually are.
    """
    widths = sizes_of("flat_encoder", "widths", widths)

    def init(key, example):
        x = _as_input("flat_encoder", example)
        size, params = x.reshape(len(x), -1).shape[1], {}
        for number, width in enumerate(widths, 1):
            params[f"dense{number}"] = linear_start(stream(key, f"dense{number}"), size, width, 2**0.5, x.dtype)
            size = width
        return {"params": params, "state": {}}

    def apply(variables, x, *, train=False, key=None):
        x = _as_input("flat_encoder", x).reshape(len(x), -1)
        for number in range(1, len(widths) + 1):
            x = jnp.tanh(linear(variables["params"][f"dense{number}"], x))
        return x, {}

    return Model(init, apply)


def _check_channels(where, x, first):
    wanted = first["kernel"].shape[0] // _KERNEL**2
    if x.shape[-1] != wanted:
        raise ValueError(f"{where}: found frames of {x.shape[-1]} channels, wanted {wanted} as at the start")


def _as_input(where, x):
    check_real(where, "observations", x)
    x = jnp.asarray(x)
    if 0 in x.shape:
        raise ValueError(f"{where}: found observations of shape {x.shape}, wanted none of the axes empty")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    x = x / jnp.asarray(255, float) if x.dtype == jnp.uint8 else x
    return jnp.asarray(x, None if floating else float)
