"""Models as `Model(init, apply)`; the only package that imports flax."""

from identax.models.base import Model
from identax.models.mlp import HEADS, from_linen, mlp, normalize, uniform_fan_in

__all__ = ["HEADS", "Model", "from_linen", "mlp", "normalize", "uniform_fan_in"]
