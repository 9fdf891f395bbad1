"""Two small convolutional networks of PyTorch's tutorials, with batch normalisation, as they were published."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_count
from identax.models.base import Model, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.layers import real_input
from identax.models.mlp import torch_linear, uniform_fan_in

_KERNEL = 5


class _Conv(nn.Module):
    """A 5x5 convolution without padding, written as one matrix product: fast also where trials bring their own."""

    features: int

    @nn.compact
    def __call__(self, x):
        fan_in = _KERNEL**2 * x.shape[-1]

        def start(key, shape, dtype):
            return uniform_fan_in(key, shape, dtype, fan_in=fan_in)

        kernel = self.param("kernel", start, (_KERNEL, _KERNEL, x.shape[-1], self.features), x.dtype)
        bias = self.param("bias", start, (self.features,), x.dtype)
        height, width = x.shape[1] - _KERNEL + 1, x.shape[2] - _KERNEL + 1
        places = [(i, j) for i in range(_KERNEL) for j in range(_KERNEL)]
        patches = jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in places], axis=-1)
        return patches @ kernel.reshape(fan_in, self.features) + bias[None, None, None]


@jax.custom_vjp
def _halved(x):
    """The largest of every 2x2 block; its slope goes to the entries that are the largest, in equal parts.

    The derivative that JAX has for `max` over axes divides by their number. Where the compiler computed the entries
    again with another rounding that was 0, and the weights NaN; here such a block has no slope. (By pairs of entries,
    which divide by nothing, a training step takes half as long again.)
    """
    return _blocks(x).max(axis=(2, 4))


def _halved_forwards(x):
    largest = _halved(x)
    return largest, (x, largest)


def _halved_backwards(kept, slope):
    x, largest = kept
    among = _blocks(x) >= largest[:, :, None, :, None]
    share = slope / jnp.maximum(among.sum(axis=(2, 4)), 1)
    return (jnp.where(among, share[:, :, None, :, None], 0).reshape(x.shape),)


_halved.defvjp(_halved_forwards, _halved_backwards)


def _blocks(x):
    return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3])


def _norm(name: str) -> BatchNorm:
    return BatchNorm(unbiased_running=True, name=name)


def _linear(width: int, x, name: str):
    return torch_linear(width, x.dtype, x.shape[-1], name=name)(x)


class _DigitConvnet(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = _images("digit_convnet", x, (28, 28, 1))
        x = nn.relu(_halved(_Conv(10, name="conv1")(x)))
        x = nn.relu(_halved(_norm("bn_c2")(_Conv(20, name="conv2")(x))))
        x = nn.relu(_norm("bn_f1")(_linear(50, x.reshape(x.shape[0], -1), "fc1")))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return _norm("bn_f2")(_linear(self.num_classes, x, "fc2"))


class _ColourConvnet(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x):
        x = _images("colour_convnet", x, (32, 32, 3))
        x = _halved(nn.relu(_Conv(6, name="conv1")(x)))
        x = _halved(nn.relu(_norm("bn_c2")(_Conv(16, name="conv2")(x))))
        x = nn.relu(_norm("bn_f1")(_linear(120, x.reshape(x.shape[0], -1), "fc1")))
        x = nn.relu(_norm("bn_f2")(_linear(84, x, "fc2")))
        return _norm("bn_f3")(_linear(self.num_classes, x, "fc3"))


def _images(where, x, shape):
    if x.shape[1:] != shape:
        raise ValueError(f"{where}: found input of shape {x.shape}, wanted images [N, {', '.join(map(str, shape))}]")
    return real_input(where, x)


def digit_convnet(num_classes: int = 10) -> Model:
    """Images [N, 28, 28, 1] -> logits [N, num_classes], 22,000 parameters.

    conv1 to 10, pooled, ReLU; conv2 to 20, normalised, pooled, ReLU; fc1 to 50, normalised, ReLU, half of it dropped in
    training (which takes a `key`); fc2, normalised. Convolutions are 5x5 without padding, pooling takes the largest of
    2x2, weights and biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), normalisation is `BatchNorm` with PyTorch's
    running statistics. Raises `ValueError` for num_classes < 1 and other images.
    Source: Reizinger & Gyires-Toth 2019, code; the flattened features have the channel last here.
    """
    return _checked("digit_convnet", num_classes, _DigitConvnet)


def colour_convnet(num_classes: int = 10) -> Model:
    """Images [N, 32, 32, 3] -> logits [N, num_classes], 62,466 parameters.

    conv1 to 6, ReLU, pooled; conv2 to 16, normalised, ReLU, pooled; fc1 to 120 and fc2 to 84, each normalised, ReLU;
    fc3, normalised. Details, errors and source as in `digit_convnet`; nothing is dropped.
    """
    return _checked("colour_convnet", num_classes, _ColourConvnet)


def _checked(where: str, num_classes: int, network: Callable[[int], nn.Module]) -> Model:
    check_count(where, "num_classes", num_classes)
    return from_linen(network(num_classes))
