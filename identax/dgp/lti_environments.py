"""Environments by design: random variances, one control at a time, and a continuum by condition number."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_positive, concrete
from identax.dgp.lti_system import Environments, LinearSystem, check_environments
from identax.numerics import product
from identax.rng import stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundedEnvironments:
    """`environments` within an amplitude limit, the factor `scale` that brought them there, and (given a system) the
    largest |x_i| that controls within the limit can cause, `state_bound` [d_x]."""

    environments: Environments
    scale: Any
    state_bound: Any = None


def random_environments(
    key: Key[Array, ""], dim: int, num_environments: int | None = None, *, zero_means: bool = False
) -> Environments:
    """Random variances: the published minimal design where `num_environments` is left at dim + 1.

        sigma^2_{e,i} = |g|/2,  g ~ N(0, 1),    mu_{e,i} ~ N(0, 1), or 0 with `zero_means`

    With more than `dim` environments the variability matrix has full rank with probability one, so nothing is redrawn;
    fewer (even one, as a negative control) are allowed. Raises `ValueError` for dim or environments < 1.
    Source: Rajendran et al. 2024, section 4 and appendix D.
    """
    count = dim + 1 if num_environments is None else num_environments
    check_count("random_environments", "dim", dim)
    check_count("random_environments", "num_environments", count)
    draw = jnp.abs(jax.random.normal(stream(key, "variances"), (count, dim))) / 2
    # A draw can be exactly zero in float32, about once in 10^7; no variance may be.
    return Environments(_means(key, (count, dim), zero_means), jnp.maximum(draw, jnp.finfo(draw.dtype).eps))


def maximal_environments(
    key: Key[Array, ""],
    dim: int,
    *,
    num_environments: int | None = None,
    zero_means: bool = False,
    base: ArrayLike = 1e-4,
    active: ArrayLike = 1.0,
) -> Environments:
    """One control active per environment: the design of maximal variability.

        sigma^2_{0,i} = base,    sigma^2_{e,i} = active if i = (e - 1) mod dim else base,    e >= 1

    With dim + 1 environments (the default) Delta = (1/active - 1/base) I, -9999 I as published, condition number 1.
    More go through the controls again: one control and three environments have variances [base, active, active].
    Raises `ValueError` for dim < 1, fewer than dim + 1 environments, base = active or either not positive.
    Source: Rajendran et al. 2024, appendix D.1 (the text says 0.9999 for the active variance, the code 1).
    """
    count = dim + 1 if num_environments is None else num_environments
    if dim < 1 or count < dim + 1:
        raise ValueError(
            f"maximal_environments: found dim={dim}, num_environments={count}, wanted dim >= 1 and at least dim + 1: "
            "one base environment and one per control"
        )
    check_positive("maximal_environments", "base", base)
    check_positive("maximal_environments", "active", active)
    low, high = concrete(base), concrete(active)
    if low is not None and high is not None and np.array_equal(low, high):
        raise ValueError(f"maximal_environments: found base=active={low}, wanted two different variances")
    pattern = np.zeros((count, dim), bool)
    pattern[np.arange(1, count), np.arange(count - 1) % dim] = True
    variances = jnp.where(pattern, jnp.asarray(active, float), jnp.asarray(base, float))
    return Environments(_means(key, (count, dim), zero_means), variances)


def designed_environments(
    key: Key[Array, ""],
    dim: int,
    condition: ArrayLike,
    *,
    zero_means: bool = False,
    low: ArrayLike = 1e-4,
    high: ArrayLike = 1.0,
) -> Environments:
    """dim + 1 environments whose variability matrix has a given condition number; all variances in [low, high].

        Delta = -s M,  M = Q diag(c^{-k/(dim-1)}) Q^T,  k = 0..dim-1,  c = condition,  Q Haar;
        1/sigma^2_{0,i} = b,    1/sigma^2_{e,i} = b - s M_{e,i}

    b and s place the smallest and the largest precision at 1/high and 1/low. At c = 1, M = I and this is the maximal
    design with base = low, active = high; as c grows the environments become more alike, along one path per key, since
    Q does not depend on c. Exact to rounding (relative error about c times the machine precision). Maps over keys and
    conditions. Raises `ValueError` for dim < 1, condition < 1 (or != 1 for dim = 1), unless 0 < low < high.
    Source: interpolates the designs of Rajendran et al. 2024, section 4 and appendix D.1.
    """
    check_count("designed_environments", "dim", dim)
    for name, value in (("condition", condition), ("low", low), ("high", high)):
        check_positive("designed_environments", name, value)
    known = concrete(condition)
    if known is not None and not (known.ndim == 0 and known >= 1 and (dim > 1 or known == 1)):
        raise ValueError(f"designed_environments: found condition={known}, wanted one number >= 1 (= 1 for dim = 1)")
    bounds = concrete(low), concrete(high)
    if bounds[0] is not None and bounds[1] is not None and not bounds[0] < bounds[1]:
        raise ValueError(f"designed_environments: found low={bounds[0]}, high={bounds[1]}, wanted low < high")
    rotation = _rotation(stream(key, "rotation"), dim)
    values = jnp.asarray(condition, rotation.dtype) ** -(jnp.arange(dim) / max(dim - 1, 1))
    # The identity apart, so that c = 1 gives exact zeros off the diagonal.
    mixing = jnp.eye(dim, dtype=rotation.dtype) - product(rotation * (1.0 - values)[None], rotation.T)
    least, most = 1.0 / jnp.asarray(high, float), 1.0 / jnp.asarray(low, float)
    bottom = jnp.minimum(jnp.min(mixing), 0.0)  # 0 is the base environment's row
    step = (most - least) / (jnp.max(mixing) - bottom)
    precisions = least + step * (jnp.max(mixing) - jnp.concatenate([jnp.zeros((1, dim), mixing.dtype), mixing]))
    return Environments(_means(key, (dim + 1, dim), zero_means), 1.0 / precisions)


def amplitudes(environments: Environments, *, num_sd: ArrayLike = 3.0) -> Float[Array, "E d_u"]:
    """|mean| + num_sd standard deviations of every control: what it exceeds rarely (0.3 % at 3, at zero mean).

    Raises `ValueError` for bad environments or a num_sd that is not positive.
    """
    check_environments("amplitudes", environments)
    check_positive("amplitudes", "num_sd", num_sd)
    return jnp.abs(jnp.asarray(environments.means)) + num_sd * jnp.sqrt(jnp.asarray(environments.variances))


def bounded_environments(
    environments: Environments,
    limit: ArrayLike,
    *,
    system: LinearSystem | None = None,
    num_sd: ArrayLike = 3.0,
    num_steps: int = 1000,
) -> BoundedEnvironments:
    """Scales all controls down by one factor, as far as needed to keep their amplitudes within `limit`.

        a = min(1, min_{e,i} limit_i / (|mu_{e,i}| + num_sd sigma_{e,i})),    mu <- a mu,    sigma^2 <- a^2 sigma^2

    One factor for all controls multiplies Delta by 1/a^2 and so keeps its rank and its condition number.
    `limit`: one number or [d_u]. With a `system`, also the bound of `state_bound` for controls within the limit.
    Raises `ValueError` for a limit that is not positive or of another shape, and bad environments.
    """
    _, d_u = check_environments("bounded_environments", environments)
    if np.shape(limit) not in ((), (d_u,)):
        raise ValueError(f"bounded_environments: found limit of shape {np.shape(limit)}, wanted a number or [{d_u}]")
    check_positive("bounded_environments", "limit", limit)
    size = amplitudes(environments, num_sd=num_sd)
    limits = jnp.broadcast_to(jnp.asarray(limit, size.dtype), (d_u,))
    scale = jnp.minimum(1.0, jnp.min(limits[None] / size))
    bounded = Environments(scale * jnp.asarray(environments.means), scale**2 * jnp.asarray(environments.variances))
    bound = None if system is None else state_bound(system, limits, num_steps=num_steps)
    return BoundedEnvironments(bounded, scale, bound)


def state_bound(system: LinearSystem, limit: ArrayLike, *, num_steps: int = 1000) -> Float[Array, " d_x"]:
    """Largest |x_i| that any controls with |u_i| <= limit_i can reach from 0 within `num_steps` samples; it is tight.

        max |x_i| = sum_{k=0}^{num_steps-2} sum_j |A^k B|_{ij} limit_j

    `limit` [d_u]. Raises `ValueError` for other shapes or num_steps < 1.
    """
    A, B = jnp.asarray(system.A), jnp.asarray(system.B)
    if A.ndim != 2 or B.ndim != 2 or np.shape(limit) != (B.shape[1],) or num_steps < 1:
        raise ValueError(
            f"state_bound: found A {A.shape}, B {B.shape}, limit {np.shape(limit)}, num_steps={num_steps}, "
            "wanted one system, limit [d_u] and at least one step"
        )
    total, _ = jax.lax.scan(
        lambda carry, _: ((carry[0] + jnp.abs(carry[1]), product(A, carry[1])), None),
        (jnp.zeros_like(B), B),
        length=num_steps - 1,
    )[0]
    return product(total, jnp.asarray(limit, total.dtype))


def _means(key, shape, zero_means):
    return jnp.zeros(shape) if zero_means else jax.random.normal(stream(key, "means"), shape)


def _rotation(key, dim):
    """Haar-distributed orthogonal matrix (up to signs of columns) as a product of Householder reflections.

    `jax.random.orthogonal` has the same law and other draws: the worlds of `lti` would be others.
    """
    draws = jax.random.normal(key, (dim, dim))
    index = jnp.arange(dim)

    def reflect(k, rotation):
        tail = jnp.where(index >= k, draws[k], 0.0)
        # Towards the axis on the far side: nothing cancels.
        normal = tail + jnp.where(index == k, jnp.copysign(jnp.sqrt(jnp.sum(tail**2)), draws[k]), 0.0)
        reflected = product(rotation, normal[:, None])
        return rotation - (2.0 / jnp.sum(normal**2)) * reflected * normal[None]

    return jax.lax.fori_loop(0, dim - 1, reflect, jnp.eye(dim, dtype=draws.dtype))
