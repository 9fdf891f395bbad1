"""Models as `Model(init, apply)`; the only package that imports flax."""

from identax.models.base import Model
from identax.models.canonical import Canonical, canonical_coordinates, fit_linear_layer
from identax.models.mlp import HEADS, from_linen, mlp, normalize, uniform_fan_in

__all__ = [
    "HEADS",
    "Canonical",
    "Model",
    "canonical_coordinates",
    "fit_linear_layer",
    "from_linen",
    "mlp",
    "normalize",
    "uniform_fan_in",
]
