"""ReLU networks that say what their hidden units do, as perturbations of units want it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.rng import stream
from identax.transforms import Hidden, hidden_layers


class ReluNetwork(NamedTuple):
    """Layers `layer1`, ... and `output`, each of `kernel` [in, out] and `bias` [out], of these widths, input first."""

    widths: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Names of the layers."""
        return [*(f"layer{number}" for number in range(1, len(self.widths) - 1)), "output"]

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """The hidden layers, as `redo` and `continual_backprop` take them."""
        return hidden_layers(*self.names)

    def init(self, key: Key[Array, ""]) -> dict[str, dict[str, Array]]:
        """U(-b, b) with b = sqrt(6 / fan-in), of the output layer sqrt(3 / fan-in); biases 0 (Dohare et al. 2024)."""
        params = {}
        for name, (fan_in, width) in zip(self.names, itertools.pairwise(self.widths), strict=True):
            bound = math.sqrt((3 if name == "output" else 6) / fan_in)
            kernel = jax.random.uniform(stream(key, name), (fan_in, width), minval=-bound, maxval=bound)
            params[name] = {"kernel": kernel, "bias": jnp.zeros(width)}
        return params

    def apply(self, params: Any, x: Float[Array, "N d"]) -> tuple[Float[Array, "N k"], dict[str, Array]]:
        """The outputs and the activations of every hidden layer by its name."""
        activations = {}
        for name in self.names[:-1]:
            x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None])
            activations[name] = x
        return x @ params["output"]["kernel"] + params["output"]["bias"][None], activations


def relu_network(widths: Sequence[int]) -> ReluNetwork:
    """A network of these widths, input and output among them; raises `ValueError` without a hidden layer."""
    if len(widths) < 3 or min(widths) < 1:
        raise ValueError(f"relu_network: found widths {tuple(widths)}, wanted input, hidden ones and output, all >= 1")
    return ReluNetwork(tuple(widths))
