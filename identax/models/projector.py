"""The head between features and embedding, thrown away after training."""

from typing import Any

import flax.linen as nn

from identax.checks import sizes_of
from identax.models.base import Model, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.layers import HE_FAN_IN, compute_dtype, real_input, types_of


class _Projector(nn.Module):
    widths: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, x):
        x = real_input("projector", x)
        param_dtype, dtype = types_of(x, self.dtype)
        x = x.astype(dtype)
        for width in self.widths[:-1]:
            x = nn.Dense(width, use_bias=False, kernel_init=HE_FAN_IN, param_dtype=param_dtype, dtype=dtype)(x)
            x = nn.relu(BatchNorm()(x))
        return nn.Dense(self.widths[-1], param_dtype=param_dtype, dtype=dtype)(x).astype(param_dtype)


def projector(widths: Any, *, compute: str | None = None) -> Model:
    """Projector MLP with `widths` = (hidden..., output): features [N, d] -> [N, output], not normalised.

    Hidden layers are linear without bias, batch normalisation, ReLU; the last is linear. One width is a linear map.
    `compute` as in `resnet18`. Raises `ValueError` for no or non-positive widths and an unknown type.
    Source: SimCLR, section 4.2 (with batch normalisation, as in its code).
    """
    return from_linen(_Projector(sizes_of("projector", "widths", widths), compute_dtype("projector", compute)))
