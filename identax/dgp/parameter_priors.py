"""Priors over the parameter of a mechanism, one draw per environment: what makes data exchangeable but not i.i.d."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key

from identax.checks import check_between, check_finite, check_positive, concrete


class ParameterPrior(NamedTuple):
    """The law mu of a parameter theta over environments.

    `sample(key, E) -> theta`: one independent draw per environment, any pytree whose leaves are [E, ...].
    `varies`: whether mu is other than a point mass, None where that hangs on traced values.
    """

    sample: Callable[[Key[Array, ""], int], Any]
    varies: bool | None


def constant_prior(value: Any = 0.0) -> ParameterPrior:
    """The point mass at `value`, any pytree of numbers: data that this parameter rules alone are i.i.d."""

    def sample(key: Key[Array, ""], num_environments: int) -> Any:
        return jax.tree.map(lambda leaf: _repeated(leaf, num_environments), value)

    return ParameterPrior(sample, False)


def uniform_prior(low: ArrayLike, high: ArrayLike) -> ParameterPrior:
    """theta_e ~ U(low, high); a point mass where both are equal. Raises `ValueError` unless scalars low <= high."""
    check_finite("uniform_prior", "low", low, ())
    check_finite("uniform_prior", "high", high, ())
    least, most = concrete(low), concrete(high)
    if least is not None and most is not None and not least <= most:
        raise ValueError(f"uniform_prior: found low={least} and high={most}, wanted low <= high")

    def sample(key: Key[Array, ""], num_environments: int) -> Float[Array, " E"]:
        unit = jax.random.uniform(key, (num_environments,))
        return jnp.asarray(low, unit.dtype) + (jnp.asarray(high, unit.dtype) - jnp.asarray(low, unit.dtype)) * unit

    return ParameterPrior(sample, None if least is None or most is None else bool(least != most))


def beta_prior(alpha: ArrayLike, beta: ArrayLike) -> ParameterPrior:
    """theta_e ~ Beta(alpha, beta). For a known alpha = 1 by the inverse distribution function, 1 - (1 - u)^(1/beta).

    Raises `ValueError` unless both are positive scalars.
    """
    check_positive("beta_prior", "alpha", alpha, ())
    check_positive("beta_prior", "beta", beta, ())
    known = concrete(alpha)
    first_is_one = known is not None and known == 1

    def sample(key: Key[Array, ""], num_environments: int) -> Float[Array, " E"]:
        if first_is_one:
            unit = jax.random.uniform(key, (num_environments,))
            return -jnp.expm1(jnp.log1p(-unit) / jnp.asarray(beta, unit.dtype))
        return jax.random.beta(key, jnp.asarray(alpha, float), jnp.asarray(beta, float), (num_environments,))

    return ParameterPrior(sample, True)


def bernoulli_prior(probability: ArrayLike) -> ParameterPrior:
    """theta_e is True with that probability: whether the environment intervenes on the mechanism.

    Raises `ValueError` for a probability outside [0, 1].
    """
    check_between("bernoulli_prior", "probability", probability, 0, 1, ())
    known = concrete(probability)

    def sample(key: Key[Array, ""], num_environments: int) -> Bool[Array, " E"]:
        return jax.random.bernoulli(key, probability, (num_environments,))

    return ParameterPrior(sample, None if known is None else bool(0 < known < 1))


def given_prior(values: Any, *, varies: bool | None = None) -> ParameterPrior:
    """Parameters that were drawn already, or designed: leaves [E, ...]. `sample` ignores its key.

    `varies`: found by comparing rows where None and all are known. Raises `ValueError` from `sample` for another E,
    and for entries that are not finite and leaves without one common leading axis.
    """
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(values)}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        raise ValueError(f"given_prior: found leading axes {sorted(sizes)}, wanted one number of environments")
    for leaf in jax.tree.leaves(values):
        check_finite("given_prior", "values", leaf)
    ((size,),) = sizes
    if varies is None:
        known = [concrete(leaf) for leaf in jax.tree.leaves(values)]
        found = [leaf for leaf in known if leaf is not None]
        varies = any(bool((leaf != leaf[:1]).any()) for leaf in found) if len(found) == len(known) else None

    def sample(key: Key[Array, ""], num_environments: int) -> Any:
        if num_environments != size:
            raise ValueError(f"given_prior: found {num_environments} environments, wanted the {size} that are given")
        return jax.tree.map(jnp.asarray, values)

    return ParameterPrior(sample, varies)


def switched_prior(prior: ParameterPrior, on: Any, value: ArrayLike | Sequence[Any]) -> ParameterPrior:
    """`prior` where `on`, the point mass at `value` where not: one program for worlds with and without variability.

    `on`: a boolean, traced or not. `prior` must be of arrays, and `value` of their shape without E. Raises `ValueError`
    unless `on` is a scalar from 0 to 1.
    """
    check_between("switched_prior", "on", on, 0, 1, ())

    def sample(key: Key[Array, ""], num_environments: int) -> Array:
        drawn = prior.sample(key, num_environments)
        return jnp.where(on, drawn, _repeated(value, num_environments).astype(drawn.dtype))

    known = concrete(on)
    return ParameterPrior(sample, None if known is None else prior.varies if known else False)


def _repeated(value, num):
    value = jnp.asarray(value)
    return jnp.broadcast_to(value[None], (num, *value.shape))
