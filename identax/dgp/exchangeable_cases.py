"""Special cases of exchangeable mechanisms: causal de Finetti's worlds and worlds of interventions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import (
    check_between,
    check_count,
    check_finite,
    check_nonnegative,
    check_positive,
    check_shape,
    concrete,
    is_integer,
)
from identax.dgp.exchangeable import CausalMechanism, ExchangeableMechanisms, ObservationMechanism, SourceMechanism
from identax.dgp.mixings import Mixing
from identax.dgp.parameter_priors import (
    ParameterPrior,
    bernoulli_prior,
    beta_prior,
    constant_prior,
    given_prior,
    switched_prior,
    uniform_prior,
)
from identax.inputs import numbers

Parents = Sequence[Sequence[int]]


def linear_world(
    parents: Parents, weights: ArrayLike | Sequence[Any], scales: ArrayLike | Sequence[Any], spreads: Any
) -> ExchangeableMechanisms:
    """z_j = sum_k w_kj z_k + b_j (s_j + t_j),  s_j ~ Laplace(0, 1),  t_j ~ U(-tau_j, tau_j) once per environment.

    Multivariate causal de Finetti with continuous variables; the mechanism of variable j varies unless tau_j = 0.
    `parents[j]`: of variable j; `weights` w [d, d], entry (k, j) of the edge k -> j; `scales` b [d]; `spreads` tau [d],
    each possibly traced. Raises `ValueError` for shapes that do not fit, entries that are not finite, tau < 0, parents
    that do not exist and cyclic graphs.
    """
    where = "linear_world"
    parents = checked_parents(where, parents)
    d = len(parents)
    w, b = _checked(where, "weights", weights, (d, d)), _checked(where, "scales", scales, (d,))
    check_length(where, "spreads", spreads, d)
    mechanisms = [
        CausalMechanism(location_prior(where, spreads[j]), linear_assignment(w[np.array(of, int), j], b[j]), of)
        for j, of in enumerate(parents)
    ]
    return ExchangeableMechanisms([laplace_source()] * d, mechanisms)


def location_prior(where: str, spread: Any) -> ParameterPrior:
    """U(-tau, tau). Raises `ValueError` unless the scalar tau >= 0."""
    check_nonnegative(where, "spread", spread, ())
    return uniform_prior(-jnp.asarray(spread, float), jnp.asarray(spread, float))


def laplace_source() -> SourceMechanism:
    """s ~ Laplace(0, 1) in all environments."""

    def draw(key: Key[Array, ""], theta: Any, num_environments: int, num_samples: int) -> Array:
        return jax.random.laplace(key, (num_environments, num_samples))

    return SourceMechanism(constant_prior(), draw)


def linear_assignment(weights: Float[Array, " p"], scale: Any):
    """(theta, parents, present, source) -> sum of present parents + scale (source + theta)."""

    def assign(theta: Any, parents: Array, present: Array, source: Array) -> Array:
        acting = jnp.where(present, weights, 0.0)[None, None, :]
        return (acting * parents).sum(axis=-1) + scale * (source + theta[:, None])

    return assign


def binary_world(parents: Parents, varies: Any = None) -> ExchangeableMechanisms:
    """z_j = (product of the parents) XOR n_j,  n_j ~ Bern(theta_j),  theta_j ~ Beta(1, 3) once per environment.

    Variables in {0, 1}, int32; without parents z_j = n_j. `varies` [d]: whether theta_j varies, possibly traced
    (None: all do); where not it is the mean 1/4. E theta^2 = 1/10, so that of a varying variable two samples of one
    environment have P(n = n' = 1) = .1 instead of .0625.
    Raises `ValueError` for another number of flags, parents that do not exist and cyclic graphs.
    Source: Guo et al. 2023, code.
    """
    parents = checked_parents("binary_world", parents)
    d = len(parents)
    varies = [True] * d if varies is None else varies
    check_length("binary_world", "varies", varies, d)
    source = SourceMechanism(constant_prior(), lambda key, theta, E, N: jax.random.uniform(key, (E, N)))
    mechanisms = [
        CausalMechanism(switched_prior(beta_prior(1, 3), varies[j], 0.25), _and_then_xor, of)
        for j, of in enumerate(parents)
    ]
    return ExchangeableMechanisms([source] * d, mechanisms)


def _and_then_xor(theta, parents, present, source):
    noise = source < theta[:, None]
    absent = ~present[None, None, :]
    product = (absent | (parents == 1)).all(axis=-1) & present.any()
    return (product ^ noise).astype(jnp.int32)


def intervened_world(
    parents: Parents,
    weights: ArrayLike | Sequence[Any],
    mixing: Mixing,
    mixing_weights: Any,
    *,
    probability: ArrayLike = 0.5,
    targets: ArrayLike | Sequence[Any] | None = None,
    shift: ArrayLike = 2.0,
    scale: ArrayLike = 0.5,
) -> ExchangeableMechanisms:
    """S -> Z -> O: z_j = sum_k w_kj z_k + s_j, or shift + scale s_j where the environment intervenes on j; o = g(z).

    Causal component analysis and multi-environment representation learning: theta^z_j is whether an environment
    intervenes on j (perfectly, stochastically), s_j ~ N(0, 1), and g = `mixing` at `mixing_weights` never changes.
    `targets` [E, d] gives the interventions, as one base environment and one per variable; None draws each with
    `probability`. The scores before and after differ almost everywhere unless shift = 0, scale = 1 and w = 0.
    Raises `ValueError` for shapes that do not fit, a probability outside [0, 1], targets other than 0 and 1, a scale
    that is not positive, other numbers that are not finite, parents that do not exist and cyclic graphs.
    Source: Wendong et al. 2023 as read by Reizinger et al. 2025.
    """
    where = "intervened_world"
    parents = checked_parents(where, parents)
    d = len(parents)
    w = _checked(where, "weights", weights, (d, d))
    check_between(where, "probability", probability, 0, 1, ())
    check_finite(where, "shift", shift, ())
    check_positive(where, "scale", scale, ())
    if targets is not None:
        check_shape(where, "targets", targets, ("E", d))
        targets = numbers(where, "targets", targets)
        known = concrete(targets)
        if known is not None and not np.isin(known, (0, 1)).all():
            raise ValueError(f"{where}: found targets other than 0 and 1, wanted a flag per environment and variable")

    def assignment(of, column):
        unmoved = linear_assignment(column[np.array(of, int)], 1.0)

        def assign(theta, values, present, source):
            left_alone = unmoved(jnp.zeros(theta.shape), values, present, source)
            return jnp.where(theta[:, None], shift + scale * source, left_alone)

        return assign

    def prior(j):
        return bernoulli_prior(probability) if targets is None else given_prior(jnp.asarray(targets, bool)[:, j])

    mechanisms = [CausalMechanism(prior(j), assignment(of, w[:, j]), of) for j, of in enumerate(parents)]
    source = SourceMechanism(constant_prior(), lambda key, theta, E, N: jax.random.normal(key, (E, N)))
    return ExchangeableMechanisms([source] * d, mechanisms, fixed_mixing(mixing, mixing_weights))


def intervened_densities(
    parents: Parents,
    weights: ArrayLike | Sequence[Any],
    variable: int,
    *,
    shift: ArrayLike = 2.0,
    scale: ArrayLike = 0.5,
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """log p_j(z_j | z_pa(j)) of `intervened_world`, left alone and intervened on, as functions of one z [d].

        left alone: N(sum_k w_kj z_k, 1),    intervened on: N(shift, scale^2)

    For `assumptions.score_difference`. Raises `ValueError` for weights other than finite [d, d], a scale that is not
    positive, a shift that is not finite, and parents or a variable that do not exist.
    """
    where = "intervened_densities"
    parents = checked_parents(where, parents)
    d = len(parents)
    w = _checked(where, "weights", weights, (d, d))
    check_finite(where, "shift", shift, ())
    check_positive(where, "scale", scale, ())
    check_count(where, "variable", variable, 0)
    if variable >= d:
        raise ValueError(f"{where}: found variable={variable}, wanted one of {d}")
    of = np.array(parents[variable], int)
    column = w[of, variable]

    def left_alone(z: Array) -> Array:
        return jax.scipy.stats.norm.logpdf(z[variable], (column * z[of]).sum(), 1.0)

    def intervened(z: Array) -> Array:
        return jax.scipy.stats.norm.logpdf(z[variable], shift, scale)

    return left_alone, intervened


def fixed_mixing(mixing: Mixing, weights: Any) -> ObservationMechanism:
    """o = g(z) with one g in all environments."""

    def mix(theta: Any, z: Array) -> Array:
        flat = mixing.apply(weights, z.reshape(-1, z.shape[-1]))
        return flat.reshape(*z.shape[:2], -1)

    return ObservationMechanism(constant_prior(), mix)


def check_length(where: str, name: str, value: Any, length: int) -> None:
    """Raises `ValueError` unless `value` is [length], an array or numbers that may be traced one by one."""
    shape = getattr(value, "shape", None)
    if shape is None:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{where}: found {name}={value!r}, wanted [{length}]")
        for one in value:
            check_shape(where, f"an entry of {name}", one, ())
        shape = (len(value),)
    if shape != (length,):
        raise ValueError(f"{where}: found {name} of shape {shape}, wanted [{length}]")


def checked_parents(where: str, parents: Any) -> tuple[tuple[int, ...], ...]:
    """Parents [d] as tuples. Raises `ValueError` for what is none, and numbers that are not of another variable."""
    try:
        found = tuple(tuple(of) for of in parents)
    except TypeError:
        raise ValueError(f"{where}: found parents={parents!r}, wanted numbers of variables for each of them") from None
    for child, of in enumerate(found):
        if len(set(of)) < len(of) or not all(is_integer(one) and 0 <= one < len(found) for one in of):
            raise ValueError(
                f"{where}: found parents {of} of variable {child}, wanted different numbers from 0 to {len(found) - 1}"
            )
    return found


def _checked(where, name, value, shape):
    """Finite numbers of that shape as floats, possibly traced."""
    check_shape(where, name, value, shape)
    value = numbers(where, name, value)
    check_finite(where, name, value)
    return jnp.asarray(value, float)


def complete_parents(d: int) -> tuple[tuple[int, ...], ...]:
    """The parents in the complete graph 0 -> 1 -> ... -> d-1, every variable a child of all before it."""
    check_count("complete_parents", "d", d)
    return tuple(tuple(range(j)) for j in range(d))
