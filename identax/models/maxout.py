"""The feature network of time-contrastive learning."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from identax.checks import check_choice, check_count, sizes_of
from identax.models.base import Model, from_linen
from identax.models.layers import real_input

OUTPUTS = ("absolute", "square", "none")
_START = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class _Maxout(nn.Module):
    widths: tuple[int, ...]
    pieces: int
    output: str

    @nn.compact
    def __call__(self, x):
        x = real_input("maxout", x)
        for width in self.widths[:-1]:
            x = self._affine(self.pieces * width, x)
            x = x.reshape(*x.shape[:-1], width, self.pieces).max(axis=-1)
        x = self._affine(self.widths[-1], x)
        return {"absolute": jnp.abs, "square": jnp.square, "none": lambda y: y}[self.output](x)

    def _affine(self, width, x):
        return nn.Dense(width, dtype=x.dtype, param_dtype=x.dtype, kernel_init=_START)(x)


def maxout(widths: Any, *, pieces: int = 2, output: str = "absolute") -> Model:
    """MLP with `widths` = (hidden..., n) of maxout units: features [N, d] -> [N, n].

        hidden unit j: max_k a_{j pieces + k}, k < pieces, of an affine map to pieces * width,    output: q(affine)

    q is what the sufficient statistic of the sources is: "absolute" |.| (Laplace), "square" (Gaussian), or "none".
    Weights start normal with variance 2 / fan_in, cut at two standard deviations; biases at 0. One width is one affine
    map and q, for linear mixings.
    Raises `ValueError` for no or non-positive widths, pieces < 1, an unknown output, and complex input.
    Source: Hyvarinen and Morioka 2016, code (widths 2n, ..., 2n, n, as many as the mixing has layers).
    """
    check_count("maxout", "pieces", pieces)
    check_choice("maxout", "output", output, OUTPUTS)
    return from_linen(_Maxout(sizes_of("maxout", "widths", widths), pieces, output))
