"""Multi-layer perceptrons and their output heads."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_between, check_choice, check_count, sizes_of
from identax.models.base import Model, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.layers import real_input

HEADS = ("none", "sphere", "learnable_sphere", "box", "learnable_box")
_SLOPE = 0.01
_SLOPED: dict[str, Callable] = {
    "leaky_relu": jax.nn.leaky_relu,
    "smooth_leaky_relu": lambda x, slope: slope * x + (1 - slope) * jax.nn.softplus(x),
}
_ACTIVATIONS: dict[str, Callable] = {
    **_SLOPED,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
}


def uniform_fan_in(key: Any, shape: Sequence[int], dtype: Any = jnp.float32, *, fan_in: Any = None) -> Array:
    """Draws U(-1/sqrt(fan_in), 1/sqrt(fan_in)); `fan_in` defaults to the first axis of a kernel [in, out].

    The authors' encoders start like this, weights and biases alike; other starts have other early plateaus.
    Raises `ValueError` for a fan-in below 1.
    """
    fan_in = fan_in if fan_in is not None else shape[0] if len(shape) else 0
    check_count("uniform_fan_in", "fan_in", fan_in)
    bound = 1 / fan_in**0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


KERNEL_INITS: dict[str, Callable] = {
    "uniform_fan_in": uniform_fan_in,
    "xavier_uniform": nn.initializers.xavier_uniform(),
}
"""starts of linear maps by name: U(-b, b) with b = 1/sqrt(fan_in), or b = sqrt(6 / (fan_in + fan_out))"""


def torch_linear(
    width: int,
    dtype: Any,
    fan_in: int,
    kernel_init: str = "uniform_fan_in",
    name: str | None = None,
    *,
    use_bias: bool = True,
) -> nn.Dense:
    """A linear map whose biases start as PyTorch's, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), its weights by name."""
    start = KERNEL_INITS[kernel_init]
    return nn.Dense(
        width,
        dtype=dtype,
        param_dtype=dtype,
        use_bias=use_bias,
        kernel_init=lambda key, shape, dtype, *_: start(key, shape, dtype),
        bias_init=lambda key, shape, dtype, *_: uniform_fan_in(key, shape, dtype, fan_in=fan_in),
        name=name,
    )


def normalize(x: Float[Array, "*batch n"], radius: float | Array = 1.0) -> Float[Array, "*batch n"]:
    """Projects rows onto the sphere: `radius * x / max(|x|, 1e-12)`.

    A zero row stays zero and has a zero gradient where plain division gives NaN.
    """
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    return radius * x * jax.lax.rsqrt(jnp.maximum(squared, 1e-24))


def output_head(module: nn.Module, head: str, x: Array, prefix: str = "") -> Array:
    """Maps x [N, n] into an output space; trainable radius or size become parameters of `module`, see `mlp`.

    To be called in a compact method. `prefix` goes before the parameter's name, for several heads in one module.
    """
    if head == "sphere":
        return normalize(x)
    if head == "learnable_sphere":
        return normalize(x, module.param(f"{prefix}radius", nn.initializers.ones, (), x.dtype))
    if head == "box":
        return jax.nn.sigmoid(x)
    if head == "learnable_box":
        size = module.param(f"{prefix}size", nn.initializers.ones, x.shape[-1:], x.dtype)
        return jax.nn.sigmoid(x) * jnp.broadcast_to(size, x.shape)
    return x


class _MLP(nn.Module):
    widths: tuple[int, ...]
    activation: str
    head: str
    activate_last: bool
    batch_norm: bool
    kernel_init: str
    slope: float

    @nn.compact
    def __call__(self, x):
        x = real_input("mlp", x)
        for number, width in enumerate(self.widths):
            x = torch_linear(width, x.dtype, x.shape[-1], self.kernel_init)(x)
            if number + 1 < len(self.widths) or self.activate_last:
                if self.batch_norm:
                    x = BatchNorm(unbiased_running=True)(x)
                function = _ACTIVATIONS[self.activation]
                x = function(x, self.slope) if self.activation in _SLOPED else function(x)
        return output_head(self, self.head, x)


def mlp(
    widths: Any,
    *,
    activation: str = "leaky_relu",
    head: str = "none",
    activate_last: bool = False,
    batch_norm: bool = False,
    kernel_init: str = "uniform_fan_in",
    slope: float | None = None,
) -> Model:
    """MLP with `widths` = (hidden..., output), an activation between layers and an output head.

    Linear layers start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (PyTorch's default); `kernel_init` "xavier_uniform" draws
    the weights, not the biases, from U(-b, b) with b = sqrt(6 / (fan_in + fan_out)) (Reizinger et al. 2022). `slope` a
    (default 0.01) is that of "leaky_relu" and of "smooth_leaky_relu", a x + (1 - a) softplus(x), whose derivative has
    no kinks: for models whose Jacobian is looked at.
    Heads: "none"; "sphere" x/|x|; "learnable_sphere" r x/|x|; "box" sigmoid(x); "learnable_box" sigmoid(x) * b with
    r, b trainable from 1 (Zimmermann et al. 2021). `activate_last` puts an activation behind the last layer too, for
    a backbone whose features go on into another model. `batch_norm` puts a `BatchNorm` before every activation, with
    PyTorch's running statistics (momentum 0.1 in its terms, unbiased variance): the model's `state`, used unless
    `train` (Reizinger et al. 2025). The input [N, d] may have any real dtype; parameters follow
    it, those of integers JAX's default float.
    Raises `ValueError` for no or non-positive widths, an unknown activation, head or start, a slope of an activation
    that has none or that is not in 0..1, and complex input.
    """
    widths = sizes_of("mlp", "widths", widths)
    check_choice("mlp", "activation", activation, tuple(_ACTIVATIONS))
    check_choice("mlp", "head", head, HEADS)
    check_choice("mlp", "kernel_init", kernel_init, tuple(KERNEL_INITS))
    if slope is not None and activation not in _SLOPED:
        raise ValueError(f"mlp: found slope={slope} for {activation!r}, wanted an activation of {list(_SLOPED)}")
    slope = _SLOPE if slope is None else slope
    check_between("mlp", "slope", slope, 0, 1, ())
    return from_linen(_MLP(widths, activation, head, activate_last, batch_norm, kernel_init, float(slope)))
