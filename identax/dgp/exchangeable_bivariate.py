"""Pairs of variables from exchangeable mechanisms, with an edge one way, the other way, or none."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from identax.checks import check_between, check_choice, check_count, check_finite, concrete
from identax.dgp.exchangeable import CausalMechanism, ExchangeableMechanisms
from identax.dgp.exchangeable_cases import binary_world, check_length, laplace_source, location_prior
from identax.dgp.parameter_priors import ParameterPrior
from identax.rng import permutation, stream

STRUCTURES = ("X->Y", "Y->X", "none")
VARIABILITIES = ("both", "cause", "mechanism", "none")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PairSample:
    """`observations` [E, N, 2] of X and Y, and `structure`, a number of `STRUCTURES`: 0 for X -> Y, 1 for Y -> X, 2 for
    no edge. `coefficients`: (a, b, c) of the effect; None for binary pairs."""

    observations: Any
    structure: Any
    coefficients: Any = None


def binary_pair(
    key: Key[Array, ""],
    num_environments: int,
    *,
    num_samples: int = 2,
    variability: str | Sequence[Any] | Array | np.ndarray = "both",
    structure: Any = None,
) -> PairSample:
    """C ~ Bern(theta_e), N ~ Bern(psi_e), effect = C XOR N, without an edge effect = N; int32.

    theta_e, psi_e ~ Beta(1, 3) where they vary, else 1/4. `variability`: by cause and effect, "both", "cause",
    "mechanism" or "none", or two booleans (theta varies, psi varies), possibly traced. `structure`: drawn uniformly
    from the three where None. Raises `ValueError` for other names, E < 1 and fewer than 2 samples per environment.
    Source: Reizinger et al. 2025; Guo et al. 2023, code ("both").
    """
    _check_numbers("binary_pair", num_environments, num_samples)
    varies = _varies("binary_pair", variability)
    structure = _structure("binary_pair", key, structure)
    world = binary_world([(), (0,)], varies)
    return PairSample(_placed(world, key, num_environments, num_samples, structure), structure)


def laplace_pair(
    key: Key[Array, ""],
    num_environments: int,
    *,
    num_samples: int = 2,
    spreads: Sequence[Any] | Array | np.ndarray = (4.0, 0.0),
    quadratic_share: ArrayLike = 0.0,
    structure: Any = None,
) -> PairSample:
    """cause = n_c,  effect = a n_c + b n_m,  n = Laplace(0, 1) noise about locations that vary over environments.

        t_e ~ U(-tau_c, tau_c) for the cause, p_e ~ U(-tau_m, tau_m) for the mechanism,  a, b ~ U{1..9}

    `spreads` (tau_c, tau_m), possibly traced; 0 is a point mass. Equal ones are unfaithful to second order
    (`assumptions.second_order_dependence`). `quadratic_share`, possibly traced: of the environments, chosen at random,
    in which the effect also has c (a n_c^2 + (b - 1) n_m^2), c ~ U{1..9}: variability of the mechanism by itself.
    Without an edge a = 0, b = 1.
    Raises `ValueError` for a share outside [0, 1], tau < 0, E < 1 and fewer than 2 samples per environment.
    Source: Reizinger et al. 2025, with point masses where the theory has them.
    """
    _check_numbers("laplace_pair", num_environments, num_samples)
    check_length("laplace_pair", "spreads", spreads, 2)
    structure = _structure("laplace_pair", key, structure)
    return _laplace(key, num_environments, num_samples, spreads, (1.0, 1.0), quadratic_share, structure)


def shipped_pair(
    key: Key[Array, ""],
    num_environments: int,
    *,
    variability: str | Sequence[Any] | Array | np.ndarray = "both",
    parity: bool = False,
    structure: Any = None,
) -> PairSample:
    """The published bivariate study's sampler: `laplace_pair` with 2 samples, tau = 1 and half of the environments
    quadratic; with `parity` as its code has it.

    The code's "cause" and "mechanism" are no point masses: X's and Y's locations vary whatever is asked for, and what
    it takes away is the Laplace noise of Y ("cause") or of X ("mechanism"), so that both samples of an environment have
    the same value. They mean variables, not roles: where Y -> X, "cause" is the mechanism's. Moments of a noise with
    its Laplace part: variance 7/3, covariance of two samples of one environment 1/3, kurtosis 5.18; without it 1/3, 1/3
    and 1.8. The law is the code's, the draws are not. "none" is known without `parity` only. `variability`: a name, or
    two booleans, possibly traced: of the cause and the mechanism, with `parity` whether X and Y keep their noise.
    Raises `ValueError` for other names and E < 1. Source: Reizinger et al. 2025, code.
    """
    _check_numbers("shipped_pair", num_environments, 2)
    varies = _varies("shipped_pair", variability, VARIABILITIES[:3] if parity else VARIABILITIES)
    structure = _structure("shipped_pair", key, structure)
    spreads, noises = (1.0, 1.0), (1.0, 1.0)
    of_x, of_y = (jnp.asarray(one, float) for one in varies)
    if parity:
        noises = tuple(jnp.where(structure == 1, *pair) for pair in ((of_y, of_x), (of_x, of_y)))
    else:
        spreads = of_x, of_y
    return _laplace(key, num_environments, 2, spreads, noises, 0.5, structure)


def pair_world(
    coefficients: Sequence[Any], spreads: Sequence[Any], noises: Sequence[Any] = (1.0, 1.0), quadratic_share: Any = 0.0
) -> ExchangeableMechanisms:
    """The world of `laplace_pair`, cause first: a case of `ExchangeableMechanisms` with Z alone and d = 2.

    `coefficients` (a, b, c); `noises`: factors of the two Laplace noises. The effect's parameter is its location and
    whether the environment is quadratic. Raises `ValueError` for other numbers of them, what is not finite, tau < 0
    and a share outside [0, 1].
    """
    check_between("pair_world", "quadratic_share", quadratic_share, 0, 1, ())
    for name, values, length in (("coefficients", coefficients, 3), ("spreads", spreads, 2), ("noises", noises, 2)):
        check_length("pair_world", name, values, length)
        for one in values:
            check_finite("pair_world", name, one)
    a, b, c = coefficients
    location = location_prior("pair_world", spreads[1])

    def cause(theta: Any, parents: Array, present: Array, source: Array) -> Array:
        return noises[0] * source + theta[:, None]

    def effect(theta: Any, parents: Array, present: Array, source: Array) -> Array:
        place, curved = theta
        own, factor = noises[1] * source + place[:, None], jnp.where(present[0], a, 0)
        given, scale = parents[..., 0], jnp.where(present[0], b, 1)
        linear = factor * given + scale * own
        return linear + jnp.where(curved[:, None], c * (factor * given**2 + (scale - 1) * own**2), 0.0)

    def sample(key: Key[Array, ""], num: int) -> Any:
        quadratic = permutation(stream(key, "quadratic"), num) < jnp.floor(quadratic_share * num)
        return location.sample(stream(key, "location"), num), quadratic

    share = concrete(quadratic_share)
    curved = None if share is None else bool(0 < share < 1)
    varies = True if location.varies or curved else None if None in (location.varies, curved) else False
    mechanisms = (
        CausalMechanism(location_prior("pair_world", spreads[0]), cause),
        CausalMechanism(ParameterPrior(sample, varies), effect, (0,)),
    )
    return ExchangeableMechanisms([laplace_source()] * 2, mechanisms)


def _laplace(key, num_environments, num_samples, spreads, noises, share, structure):
    drawn = jax.random.randint(stream(key, "coefficients"), (3,), 1, 10)
    world = pair_world(tuple(drawn), tuple(spreads), noises, share)
    return PairSample(_placed(world, key, num_environments, num_samples, structure), structure, drawn)


def _placed(world, key, num_environments, num_samples, structure):
    """Cause and effect where the structure has them."""
    edges = jnp.zeros((2, 2), bool).at[0, 1].set(structure != 2)
    found = world.sample(stream(key, "world"), num_environments, num_samples, edges=edges).observations
    return jnp.where(structure == 1, found[..., ::-1], found)


def _structure(where, key, structure):
    if structure is None:
        return jax.random.randint(stream(key, "structure"), (), 0, 3)
    check_between(where, "structure", structure, 0, 2, ())
    known = concrete(structure)
    if known is not None and known != int(known):
        raise ValueError(f"{where}: found structure={known}, wanted 0, 1 or 2")
    return jnp.asarray(structure, jnp.int32)


def _varies(where, variability, names=VARIABILITIES):
    """Whether the cause's and the mechanism's parameter vary."""
    if isinstance(variability, str):
        check_choice(where, "variability", variability, names)
        return variability in ("both", "cause"), variability in ("both", "mechanism")
    check_length(where, "variability", variability, 2)
    return variability[0], variability[1]


def _check_numbers(where, num_environments, num_samples):
    check_count(where, "num_environments", num_environments)
    check_count(where, "num_samples", num_samples, 2)
