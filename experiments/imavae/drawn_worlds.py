"""Worlds whose mixing every seed draws anew, and what is known of each: its density and its contrast."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.worlds import World
from identax.dgp import (
    DGP,
    Mixing,
    Sources,
    affine_coupling,
    compose,
    gaussian_sources,
    latent_log_likelihood,
    mixed_sources,
    moebius,
    observe,
    rows_at_cosine,
    uniform_sources,
    unit_column_linear,
    unit_determinant_linear,
)
from identax.jacobians import jacobian
from identax.metrics import c_ima
from identax.rng import stream

CENTER = 60_000
"""draws whose mean is taken off the observations: the size of the published data sets"""
CANDIDATES, SPREAD_OF = 24, 256
TRUTH = ("-log p(x)", "-L_IMA", "C_IMA of the mixing")
"""oracles of every evaluation, from the true mixing at the sources of its sample"""


def linear_world(dim: int, linear: str, cosine: float) -> tuple[World, Mixing, Sources]:
    """Uniform sources through a Moebius map and a linear map on top, or through the Moebius map alone ("none")."""
    maps: dict[str, Callable[[], Mixing]] = {
        "unit determinant": lambda: unit_determinant_linear(dim),
        "unit columns": lambda: unit_column_linear(dim),
        "cosine": lambda: rows_at_cosine(cosine),
    }
    if linear == "cosine" and dim != 2:
        raise ValueError(f"linear_map: found dim={dim} for rows at a chosen cosine, wanted 2")
    inner = moebius(dim)
    mixing = inner if linear == "none" else compose(maps[linear](), inner)
    return _world(mixing, uniform_sources(dim), linear == "none")


def flow_world(dim: int, parity: Any, largest_spread: float) -> tuple[World, Mixing, Sources]:
    """Standard normal sources through a coupling flow whose observations have sds of at most `largest_spread`.

    The first of `CANDIDATES` flows that has: a third of them has not, and some have sds above 1e10.
    """
    world, mixing, sources = _world(affine_coupling(dim, parity=parity), gaussian_sources(dim), False)

    def init(key):
        truths = jax.vmap(world.dgp.init)(jax.random.split(stream(key, "candidates"), CANDIDATES))
        drawn = jax.vmap(lambda truth: world.dgp.sample(truth, stream(key, "spread"), SPREAD_OF).observations)(truths)
        tame = drawn.std(axis=1).max(axis=1) <= largest_spread
        return jax.tree.map(lambda leaf: leaf[jnp.argmax(tame)], truths)

    return world._replace(dgp=DGP(init, world.dgp.sample), smooth=False), mixing, sources


def of_truth(mixing: Mixing, sources: Sources) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """Further metrics for `vae_study`: -log p(x), -L_IMA and contrast of the mixing, means over evaluated sources."""

    def extra(state: Any, drawn: Any, z: Any) -> dict[str, Any]:
        truth = state.truth["world"]
        slopes = jacobian(lambda s: observe(mixing, truth, s), drawn.latents)
        density = -latent_log_likelihood(mixing, sources, truth, drawn.latents).mean()
        contrast = c_ima(slopes).mean()
        return dict(zip(TRUTH, (density, density + contrast, contrast), strict=True))

    return extra


def of_linear_map(mixing: Mixing, sources: Sources) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """As `of_truth`, with c_IMA(L) of the linear map alone, the abscissa of the published figure; 0 without one."""
    known = of_truth(mixing, sources)

    def extra(state: Any, drawn: Any, z: Any) -> dict[str, Any]:
        weights = state.truth["world"]["mixing"]
        outer = weights["outer"] if isinstance(weights, dict) else jnp.eye(sources.n)
        return {**known(state, drawn, z), "c_IMA(L)": c_ima(outer[None])[0]}

    return extra


def _world(mixing: Mixing, sources: Sources, orthogonal: bool) -> tuple[World, Mixing, Sources]:
    dgp = mixed_sources(mixing, sources, center=CENTER if sources.name == "uniform" else None)
    return World(dgp, sources, lambda truth, s: observe(mixing, truth, s), orthogonal), mixing, sources
