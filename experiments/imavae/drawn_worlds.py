"""Worlds whose mixing every seed draws anew, and what is known of each: its density and its contrast."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.worlds import CENTER, World, mixed
from identax.dgp import (
    DGP,
    Mixing,
    affine_coupling,
    compose,
    gaussian_sources,
    latent_log_likelihood,
    moebius,
    rows_at_cosine,
    uniform_sources,
    unit_column_linear,
    unit_determinant_linear,
)
from identax.jacobians import jacobian
from identax.metrics import c_ima
from identax.rng import stream

CANDIDATES, SPREAD_OF = 24, 256
TRUTH = ("-log p(x)", "-L_IMA", "C_IMA of the mixing")
"""oracles of every evaluation, from the true mixing at the sources of its sample"""


def linear_world(dim: int, linear: str, *, cosine: float = 0.5, center: int = CENTER) -> World:
    """Uniform sources through a Moebius map and a linear map on top, or through the Moebius map alone ("none").

    Less the mean of `center` draws. Raises `ValueError` for rows at a chosen `cosine` in another dim than 2.
    """
    maps: dict[str, Callable[[], Mixing]] = {
        "unit determinant": lambda: unit_determinant_linear(dim),
        "unit columns": lambda: unit_column_linear(dim),
        "cosine": lambda: rows_at_cosine(cosine),
    }
    if linear == "cosine" and dim != 2:
        raise ValueError(f"linear_map: found dim={dim} for rows at a chosen cosine, wanted 2")
    inner = moebius(dim)
    mixing = inner if linear == "none" else compose(maps[linear](), inner)
    return mixed(mixing, uniform_sources(dim), center=center)


def flow_world(dim: int, parity: Any, largest_spread: float) -> World:
    """Standard normal sources through a coupling flow whose observations have sds of at most `largest_spread`.

    The first of `CANDIDATES` flows that has: a third of them has not, and some have sds above 1e10.
    """
    world = mixed(affine_coupling(dim, parity=parity), gaussian_sources(dim))

    def init(key):
        truths = jax.vmap(world.dgp.init)(jax.random.split(stream(key, "candidates"), CANDIDATES))
        drawn = jax.vmap(lambda truth: world.dgp.sample(truth, stream(key, "spread"), SPREAD_OF).observations)(truths)
        tame = drawn.std(axis=1).max(axis=1) <= largest_spread
        return jax.tree.map(lambda leaf: leaf[jnp.argmax(tame)], truths)

    return world._replace(dgp=DGP(init, world.dgp.sample), smooth=False)


def of_truth(world: World) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """Further metrics for `vae_study`: -log p(x), -L_IMA and contrast of the mixing, means over evaluated sources."""

    def extra(state: Any, drawn: Any, codes: Any) -> dict[str, Any]:
        truth = state.truth["world"]
        slopes = jacobian(lambda s: world.decode(truth, s), drawn.latents)
        density = -latent_log_likelihood(world.mixing, world.sources, truth, drawn.latents).mean()
        contrast = c_ima(slopes).mean()
        return dict(zip(TRUTH, (density, density + contrast, contrast), strict=True))

    return extra


def of_linear_map(world: World) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """As `of_truth`, with c_IMA(L) of the linear map alone, the abscissa of the published figure; 0 without one."""
    known = of_truth(world)

    def extra(state: Any, drawn: Any, codes: Any) -> dict[str, Any]:
        weights = state.truth["world"]["mixing"]
        outer = weights["outer"] if isinstance(weights, dict) else jnp.eye(world.sources.n)
        return {**known(state, drawn, codes), "c_IMA(L)": c_ima(outer[None])[0]}

    return extra
