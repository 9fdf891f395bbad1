"""Ground-truth precisions of the AnInfoNCE experiments, and which latents they make content and style."""

import jax
from jax.typing import ArrayLike

from identax.dgp import bimodal_precision, linear_precision


def precision(spectrum: str, dim: int, *, high: ArrayLike, low: ArrayLike) -> jax.Array:
    """Ground-truth precision [dim]: "bimodal" (half `high`, half `low`) or "linear" (equally spaced)."""
    make = {"bimodal": bimodal_precision, "linear": linear_precision}[spectrum]
    return make(dim, low=low, high=high)


def blocks(spectrum: str, dim: int) -> tuple[list[int], list[int]]:
    """Latents of high precision ("content") and of low precision ("style")."""
    half = dim // 2
    indices = list(range(dim))
    return (indices[:half], indices[half:]) if spectrum == "bimodal" else (indices[-half:], indices[:-half])
