"""Image generators learned from data: a decoder as the mixing."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.dgp.mixings import Mixing


def decoder_mixing(decode: Callable[[Any, Array], Array], weights: Any, n: int) -> Mixing:
    """An image generator as the mixing of a world on the unit sphere S^{n-1}.

        x = sigmoid(decode(weights, sqrt(n) z))

    `decode(weights, z [N, n]) -> logits [N, ...]`. A decoder trained on z ~ N(0, I_n) sees norms near sqrt(n), hence
    the factor. Given weights are the same for every trial: constants and not part of a trial's truth, so that vmapped
    trials share one matrix product. With `weights=None` they are part of it: `{**world.init(key), "mixing": weights}`,
    for weights that an earlier run has trained. `inverse` raises: images off the manifold have no latent.
    Source: Rusak et al. 2025 (image experiment); the scale is this library's choice.
    """
    shared = None if weights is None else jax.tree.map(jnp.asarray, weights)

    def apply(weights: Any, z: Float[Array, "N n"]) -> Float[Array, "N ..."]:
        if z.shape[-1] != n:
            raise ValueError(f"decoder_mixing: found latents of shape {z.shape}, wanted [N, {n}]")
        return jax.nn.sigmoid(decode(weights if shared is None else shared, math.sqrt(n) * z))

    def inverse(weights: Any, x: Array) -> Array:
        raise ValueError("decoder_mixing: found a request for the inverse, wanted a mixing that has one")

    return Mixing(lambda key: (), apply, inverse)
