"""Ground-truth precisions of the AnInfoNCE experiments, and which latents they make content and style."""

from collections.abc import Mapping
from typing import Any

import jax

from identax.dgp import bimodal_precision, linear_precision


def precision(config: Any, hparams: Mapping[str, Any]) -> jax.Array:
    """Ground-truth precision [dim]: `config.spectrum` "bimodal" (half high, half low) or "linear" (equally spaced)."""
    make = {"bimodal": bimodal_precision, "linear": linear_precision}[config.spectrum]
    return make(config.dim, low=hparams["low"], high=hparams["high"])


def blocks(config: Any) -> tuple[list[int], list[int]]:
    """Latents of high precision ("content") and of low precision ("style")."""
    half = config.dim // 2
    indices = list(range(config.dim))
    return (indices[:half], indices[half:]) if config.spectrum == "bimodal" else (indices[-half:], indices[:-half])
