"""The worlds of the synthetic experiments: sources, mixing, true decoder."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from identax.dgp import (
    DGP,
    Mixing,
    Sources,
    gaussian_sources,
    mixed_sources,
    moebius,
    observe,
    reference_moebius,
    smooth_mlp,
    uniform_sources,
)


class World(NamedTuple):
    """`dgp` draws sources and x = f(s) - mean; `decode(truth, s)` is f.

    `orthogonal`: whether its columns are; `smooth`: whether it is twice differentiable, as maps of leaky ReLUs are not.
    """

    dgp: DGP
    sources: Sources
    decode: Callable[[Any, Any], Any]
    orthogonal: bool
    smooth: bool = True


def moebius_world(dim: int, mixing: str) -> World:
    """Uniform sources through a Moebius map: the published one, or ("random") one for each seed, centred by its mean.

    Raises `ValueError` for the published one in another dim than 3.
    """
    if mixing == "reference" and dim != 3:
        raise ValueError(f"moebius: found dim={dim} for the reference mixing, wanted 3, or mixing='random'")
    return _world(
        moebius(dim),
        uniform_sources(dim),
        60_000 if mixing == "random" else None,
        True,
        reference_moebius() if mixing == "reference" else None,
    )


def mlp_world(dim: int, *, num_layers: int, alpha: float, seed: int) -> World:
    """Standard normal sources through activation and orthogonal matrix, `num_layers` times; one for all seeds."""
    world = _world(smooth_mlp(dim, num_layers=num_layers, alpha=alpha), gaussian_sources(dim), None, alpha == 1.0)
    return world._replace(dgp=world.dgp._replace(init=lambda key: world.dgp.init(jax.random.key(seed))))


def _world(mixing: Mixing, sources: Sources, center: int | None, orthogonal: bool, weights: Any = None) -> World:
    dgp = mixed_sources(mixing, sources, center=center)
    if weights is not None:
        made = dgp.init
        dgp = dgp._replace(init=lambda key: {**made(key), "mixing": weights})
    return World(dgp, sources, lambda truth, s: observe(mixing, truth, s), orthogonal)
