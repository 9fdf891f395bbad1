"""Puts an encoder's last layer into canonical coordinates; shared by the AnInfoNCE experiments."""

from typing import Any

import jax
import jax.numpy as jnp

from identax.dgp.mixings import inverse_softplus
from identax.models import canonical_coordinates, fit_linear_layer

_SMALLEST_START = 0.5  # a latent must not start out unseen


def canonical_start(
    features: jax.Array, z: jax.Array, z_pos: jax.Array, *, dim: int, width: int
) -> tuple[dict[str, Any], jax.Array, jax.Array]:
    """Last layer, raw precision [width] (before softplus) and which of the `width` outputs are used [width].

    Refits the layer that maps `features` [N, d] to the canonical coordinates of the positive pairs `z`, `z_pos`
    [N, m] (embeddings), and starts the precision from what the pairs say about each. Cures two troubles of gradient
    descent, see docs/papers/aninfonce.md: with spare outputs (m > dim) the direction in which a latent was folded is
    dropped, and the slow rotation towards distinct precisions is done at once.
    """
    found = canonical_coordinates(z, z_pos, dim)
    kernel, bias = fit_linear_layer(features, found.coordinates)
    spare = width - dim
    last = {"Dense_0": {"kernel": _pad(kernel, spare), "bias": _pad(bias, spare)}}
    start = jnp.maximum(found.precision, _SMALLEST_START)
    return last, _pad(inverse_softplus(start), spare), _pad(jnp.ones(dim), spare)


def _pad(array, count):
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, count)])
