"""The worlds of the synthetic experiments: sources, mixing, true decoder."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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

CENTER = 60_000
"""draws whose mean is taken off the observations where none is known: the size of the published data sets"""


class World(NamedTuple):
    """`dgp` draws `sources` s and x = f(s) of the `mixing` f, less a mean in some worlds.

    `smooth`: whether f is twice differentiable, as maps of leaky ReLUs are not.
    """

    dgp: DGP
    sources: Sources
    mixing: Mixing
    smooth: bool = True

    def decode(self, truth: Any, s: Any) -> Any:
        """f(s), less the mean: the observations of sources [N, n]."""
        return observe(self.mixing, truth, s)


def moebius_world(dim: int, mixing: str) -> World:
    """Uniform sources through a Moebius map: the published one, or ("random") one for each seed, centred by its mean.

    Raises `ValueError` for the published one in another dim than 3.
    """
    if mixing == "reference" and dim != 3:
        raise ValueError(f"moebius: found dim={dim} for the reference mixing, wanted 3, or mixing='random'")
    if mixing == "random":
        return mixed(moebius(dim), uniform_sources(dim), center=CENTER)
    world = mixed(moebius(dim), uniform_sources(dim))
    made = world.dgp.init
    weights = reference_moebius()
    return world._replace(dgp=world.dgp._replace(init=lambda key: {**made(key), "mixing": weights}))


def mlp_world(dim: int, *, num_layers: int, alpha: Any, seed: int) -> World:
    """Standard normal sources through activation and orthogonal matrix, `num_layers` times; one for all seeds.

    alpha is part of the truth, {"mixing": {"alpha", "matrices"}}, so that worlds of several are one program.
    """

    def of(weights):
        return smooth_mlp(dim, num_layers=num_layers, alpha=weights["alpha"])

    def log_det(weights, z):
        known = of(weights).log_det
        assert known is not None  # these MLPs know theirs
        return known(weights["matrices"], z)

    mixing = Mixing(
        lambda key: {"alpha": jnp.asarray(alpha, float), "matrices": smooth_mlp(dim, num_layers=num_layers).init(key)},
        lambda weights, z: of(weights).apply(weights["matrices"], z),
        lambda weights, x: of(weights).inverse(weights["matrices"], x),
        log_det,
    )
    world = mixed(mixing, gaussian_sources(dim))
    return world._replace(dgp=world.dgp._replace(init=lambda key: world.dgp.init(jax.random.key(seed))))


def mixed(mixing: Mixing, sources: Sources, *, center: int | None = None) -> World:
    """Sources through a mixing that each seed draws; observations less the mean of `center` draws, if any."""
    return World(mixed_sources(mixing, sources, center=center), sources, mixing)
