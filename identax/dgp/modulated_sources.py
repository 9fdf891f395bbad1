"""Non-stationary sources in segments: a law that changes under one mixing, or one law under a mixing that changes."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_choice, check_count, check_positive, check_shape
from identax.dgp.base import compiled
from identax.dgp.exchangeable import ExchangeableMechanisms, ObservationMechanism, SourceMechanism
from identax.dgp.exchangeable_cases import fixed_mixing
from identax.dgp.mixings import Mixing
from identax.dgp.parameter_priors import constant_prior, given_prior
from identax.numerics import column_space
from identax.rng import stream

FAMILIES = ("laplace", "gaussian")
READINGS = ("cause", "mechanism")
CONTROLS = ("none", "const", "tied", "rotated")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ModulatedSample:
    """K segments of T points seen through one mixing or a changing one.

    `observations` [K, T, m]; `base` [K, T, n]: the latents s~ of one law and unit variance in all segments; `modulated`
    [K, T, n]: sigma_u(s~), what the fixed mixing f is applied to in either reading; `natural_parameters` [K, n] of the
    modulated latents' law; `weights`: of f.
    """

    observations: Any
    base: Any
    modulated: Any
    natural_parameters: Any
    weights: Any


def modulated_sources(
    key: Key[Array, ""],
    mixing: Mixing,
    n: int,
    num_segments: int,
    segment_length: int,
    *,
    family: str = "laplace",
    reading: str = "cause",
    control: str = "none",
) -> ModulatedSample:
    """x = f(L_u * s~) with s~ of unit variance and L_{u,i} ~ U(0, 1): K segments u of T points.

        reading "cause":      s | u = L_u * s~ changes, x = f(s)
        reading "mechanism":  s~ has one law, x = f_u(s~) with f_u = f o diag(L_u)

    For one key the two give the same observations bit for bit: the duality of time-contrastive learning. `family`
    "laplace": q(s) = |s|, lambda = -sqrt(2) / L; "gaussian": q(s) = s^2, lambda = -1 / (2 L^2). Negative controls:
    "const", L = 1; "tied", L_{u,i} = L_{u,1}, so that differences of lambda have rank 1; "rotated", x = f(Q_u s~) with
    Q_u Haar on O(n): a mechanism that changes, but not by component, and no cause reading.
    Warns where K < n + 1: differences of K parameters have rank K - 1 at most, so that no source set can be identified.
    Raises `ValueError` for unknown names, "rotated" with the reading "cause", numbers < 1 and T < 2.
    Source: Hyvarinen and Morioka 2016, code; Reizinger et al. 2025 (the second reading).
    """
    where = "modulated_sources"
    check_choice(where, "family", family, FAMILIES)
    check_choice(where, "reading", reading, READINGS)
    check_choice(where, "control", control, CONTROLS)
    check_count(where, "n", n)
    check_count(where, "num_segments", num_segments)
    check_count(where, "segment_length", segment_length, 2)
    if control == "rotated" and reading == "cause":
        raise ValueError(f"{where}: found control='rotated' with reading='cause', wanted reading='mechanism'")
    if num_segments < n + 1:
        warnings.warn(
            f"{where}: found {num_segments} segments for {n} sources, fewer than n + 1: differences of their "
            f"parameters have rank {num_segments - 1} at most, and the sources are not identifiable",
            UserWarning,
            stacklevel=2,
        )
    modulation = _modulation(stream(key, "modulation"), num_segments, n, control)
    weights = mixing.init(stream(key, "mixing"))
    rotations = None
    if control == "rotated":
        rotations = _rotations(stream(key, "rotation"), num_segments, n)
    world = modulated_world(mixing, weights, modulation, family=family, reading=reading, rotations=rotations)
    drawn = world.sample(stream(key, "points"), num_segments, segment_length)
    if reading == "cause":
        # the same stream without the modulation: s / L would be s~ to rounding only
        unmodulated = ExchangeableMechanisms(_laws_of(family, [constant_prior(jnp.ones(()))] * n))
        base = unmodulated.sample(stream(key, "points"), num_segments, segment_length).sources
        modulated = drawn.sources
    else:
        base, modulated = drawn.sources, _moved(modulation, rotations, drawn.sources)
    parameters = -math.sqrt(2) / modulation if family == "laplace" else -0.5 / modulation**2
    return ModulatedSample(drawn.observations, base, modulated, parameters, weights)


def modulated_world(
    mixing: Mixing,
    weights: Any,
    modulation: ArrayLike | Sequence[Any],
    *,
    family: str = "laplace",
    reading: str = "cause",
    rotations: Float[Array, "K n n"] | None = None,
) -> ExchangeableMechanisms:
    """The world of `modulated_sources` with K given modulations, as a case of `ExchangeableMechanisms`: S -> O, no Z.

    "cause": the n sources' priors vary and the observation's is a point mass; "mechanism": the other way round, theta^g
    being the row of `modulation` (after `rotations`, if there are any). Raises `ValueError` for unknown names,
    modulations other than positive [K, n], and rotations with the reading "cause" or of another shape.
    """
    where = "modulated_world"
    check_choice(where, "family", family, FAMILIES)
    check_choice(where, "reading", reading, READINGS)
    check_shape(where, "modulation", modulation, ("K", "n"))
    check_positive(where, "modulation", modulation)
    modulation = jnp.asarray(modulation, float)
    num_segments, n = modulation.shape
    if rotations is not None:
        check_shape(where, "rotations", rotations, (num_segments, n, n))
        if reading == "cause":
            raise ValueError(f"{where}: found rotations with reading='cause', wanted reading='mechanism'")

    fixed = fixed_mixing(mixing, weights)
    if reading == "cause":
        laws = [given_prior(modulation[:, number]) for number in range(n)]
        observation = fixed
    else:
        laws = [constant_prior(jnp.ones((), modulation.dtype))] * n
        given = given_prior(modulation if rotations is None else (modulation, rotations))

        def mix(theta: Any, z: Array) -> Array:
            scales, turns = (theta, None) if rotations is None else theta
            return fixed.mix(None, _moved(scales, turns, z))

        observation = ObservationMechanism(given, mix)
    return ExchangeableMechanisms(_laws_of(family, laws), (), observation)


def _laws_of(family, priors):
    """Sources scaled by their parameter."""

    def draw(key, theta, num_environments, num_samples):
        # Compiled programs may join the two factors of a product in another order in one reading than in the other.
        noise = jax.lax.optimization_barrier(_unit_noise(family, key, (num_environments, num_samples)))
        return jax.lax.optimization_barrier(theta[:, None] * noise)

    return [SourceMechanism(prior, draw) for prior in priors]


def _moved(modulation, rotations, z):
    """sigma_u(s~): scaled by component, then rotated."""
    scaled = jax.lax.optimization_barrier(modulation[:, None, :] * z)
    if rotations is None:
        return scaled
    return jnp.einsum("kij,ktj->kti", rotations, scaled, precision=jax.lax.Precision.HIGHEST)


def _modulation(key, num_segments, n, control):
    """L [K, n] in (0, 1]: a segment without any variance has no density."""
    if control in ("const", "rotated"):
        return jnp.ones((num_segments, n))
    drawn = 1 - jax.random.uniform(key, (num_segments, n))
    return jnp.broadcast_to(drawn[:, :1], drawn.shape) if control == "tied" else drawn


def _unit_noise(family, key, shape):
    if family == "gaussian":
        return jax.random.normal(key, shape)
    return jax.random.laplace(key, shape) / math.sqrt(2)


def _haar(key, num_segments, n):
    """Orthonormalised Gaussian matrices; LAPACK's QR beside the mixing's SVD would be two factorisations at once."""
    return jax.vmap(lambda matrix: column_space(matrix)[0])(jax.random.normal(key, (num_segments, n, n)))


_rotations = compiled(_haar, static=(1, 2))
