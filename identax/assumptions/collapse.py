"""Which latents InfoNCE drops: the weak-similarity picture, in closed form."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.losses import SCHEMES


def pair_correlations(z: Float[Array, "N n"], z_pos: Float[Array, "N n"]) -> Float[Array, " n"]:
    """How much of each latent survives from anchor to positive: rho_i = E[z_i z+_i] / E[z_i^2], latents of mean 0.

    Source: Rusak et al. 2025 (derived there as the strength of the augmentation per latent).
    """
    return jnp.mean(z * z_pos, axis=0) / jnp.mean(z * z, axis=0)


def moment_shares(rho: Float[Array, " n"], inverse_temperature: ArrayLike) -> Float[Array, " n"]:
    """Share c_i of the embedding's second moment that InfoNCE gives to latent i, to second order in kappa = 1/tau.

    Minimises -kappa sum_i rho_i c_i + kappa^2/2 sum_i c_i^2 over c >= 0, sum_i c_i = 1 (water-filling):
    c_i = max(0, (rho_i - mu) / kappa), mu so that the shares sum to one. Trust it for kappa up to about 2.
    Args: `rho` [n] as `pair_correlations` returns it; `inverse_temperature` > 0, both may be traced.
    Source: second-order expansion of InfoNCE for similarity kappa u.v on the sphere.
    """
    ordered = jnp.sort(rho)[::-1]
    count = jnp.arange(1, rho.shape[0] + 1, dtype=rho.dtype)
    # With the k largest active, mu_k = (their sum - kappa) / k; the true number is the largest k with rho_k > mu_k.
    levels = (jnp.cumsum(ordered) - inverse_temperature) / count
    level = levels[jnp.sum(ordered > levels) - 1]
    return jnp.maximum(rho - level, 0.0) / inverse_temperature


def collapse_thresholds(rho: Float[Array, " n"]) -> Float[Array, " n"]:
    """Inverse temperature at and below which InfoNCE drops latent i: kappa*_i = sum_j max(0, rho_j - rho_i).

    Where `moment_shares` first gives latent i a positive share. For two blocks of n/2 latents it is
    (rho_content - rho_style) n/2 for the style block and 0 for the content block.
    """
    return jnp.sum(jnp.maximum(rho[None, :] - rho[:, None], 0.0), axis=1)


def collapsed_loss(num: int, scheme: str = "two_view", *, num_negatives: int | None = None) -> float:
    """Loss of an encoder that maps everything to one point: the log of the number of terms.

    log(2N-1) in the two-view schemes, log N in `one_view`, log(N+1) in `one_view_with_self`, and log(M+1) with
    M = `num_negatives` explicit ones.
    Raises `ValueError` for an unknown scheme or a size below 1.
    """
    if num_negatives is not None:
        terms = num_negatives + 1
    elif scheme in SCHEMES:
        terms = {"one_view": num, "one_view_with_self": num + 1}.get(scheme, 2 * num - 1)
    else:
        raise ValueError(f"collapsed_loss: found scheme={scheme!r}, wanted one of {list(SCHEMES)}")
    if num < 1 or terms < 1:
        raise ValueError(f"collapsed_loss: found num={num}, num_negatives={num_negatives}, wanted at least 1")
    return float(np.log(terms))
