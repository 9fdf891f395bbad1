"""Laws of independent sources on R^n, with normalised densities."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, xlog1py, xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_finite, check_positive, concrete
from identax.dgp._checks import points
from identax.inputs import numbers


class Sources(NamedTuple):
    """Independent sources as pure functions.

    `sample(key, num) -> [num, n]`; `log_prob(s [N, n]) -> [N]`, the log density of all n coordinates, normalised and
    -inf outside the support, which is the box from `low` to `high` (both None: all of R^n).
    """

    n: int
    sample: Callable[[Key[Array, ""], int], Array]
    log_prob: Callable[[Any], Array]
    name: str
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def uniform_sources(n: int, low: ArrayLike = -0.5, high: ArrayLike = 0.5) -> Sources:
    """n sources uniform on [low, high], scalars: log p = -n log(high - low). Raises `ValueError` unless low < high."""
    check_count("uniform_sources", "n", n)
    _check_interval("uniform_sources", low, high)

    def draw(key, num):
        return jax.random.uniform(key, (num, n), minval=low, maxval=high)

    def log_prob(s):
        width = jnp.asarray(high, s.dtype) - jnp.asarray(low, s.dtype)
        return jnp.where((s >= low) & (s <= high), -jnp.log(width), -jnp.inf)

    return _sources("uniform", n, draw, log_prob, low, high)


def gaussian_sources(n: int) -> Sources:
    """n standard normal sources: log p = -|s|^2 / 2 - n/2 log(2 pi)."""
    check_count("gaussian_sources", "n", n)

    def log_prob(s):
        return -0.5 * jnp.square(s) - 0.5 * np.log(2 * np.pi).item()

    return _sources("gaussian", n, lambda key, num: jax.random.normal(key, (num, n)), log_prob)


def laplace_sources(n: int, scale: ArrayLike = 1.0) -> Sources:
    """n Laplace sources: log p = -|s|_1 / scale - n log(2 scale). Raises `ValueError` unless the scalar `scale` > 0."""
    check_count("laplace_sources", "n", n)
    check_positive("laplace_sources", "scale", scale, ())

    def log_prob(s):
        return -jnp.abs(s) / scale - jnp.log(2 * jnp.asarray(scale, s.dtype))

    return _sources("laplace", n, lambda key, num: scale * jax.random.laplace(key, (num, n)), log_prob)


def beta_sources(
    alpha: ArrayLike | Sequence[Any], beta: ArrayLike | Sequence[Any], low: ArrayLike = -0.5, high: ArrayLike = 0.5
) -> Sources:
    """Sources low + (high - low) u_k with u_k ~ Beta(alpha_k, beta_k).

    `alpha`, `beta`: [n], finite and > 0, or traced. Raises `ValueError` for others, for different lengths, and unless
    the scalars low < high.
    """
    alpha, beta = numbers("beta_sources", "alpha", alpha), numbers("beta_sources", "beta", beta)
    check_positive("beta_sources", "alpha", alpha, ("n",))
    check_positive("beta_sources", "beta", beta, np.shape(alpha))
    alpha, beta = jnp.asarray(alpha, float), jnp.asarray(beta, float)
    _check_interval("beta_sources", low, high)
    n = alpha.shape[0]

    def draw(key, num):
        unit = jax.random.beta(key, alpha[None, :], beta[None, :], (num, n))
        return low + (jnp.asarray(high, unit.dtype) - low) * unit

    def log_prob(s):
        a, b = (parameter.astype(s.dtype)[None, :] for parameter in (alpha, beta))
        start, width = jnp.asarray(low, s.dtype), jnp.asarray(high, s.dtype) - jnp.asarray(low, s.dtype)
        unit = (s - start) / width
        inside = (unit >= 0) & (unit <= 1)
        unit = jnp.where(inside, unit, 0.5)
        density = xlogy(a - 1, unit) + xlog1py(b - 1, -unit) - betaln(a, b) - jnp.log(width)
        return jnp.where(inside, density, -jnp.inf)

    return _sources("beta", n, draw, log_prob, low, high)


def _sources(name, n, draw, log_prob, low=None, high=None) -> Sources:
    """`draw(key, num) -> [num, n]` and a density per coordinate, with their checks."""
    where = f"{name}_sources"

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num n"]:
        check_count(f"{where}.sample", "num", num)
        return draw(key, num)

    def joint(s: Any) -> Float[Array, " N"]:
        return log_prob(points(f"{where}.log_prob", "sources", s, n)).sum(axis=1)

    return Sources(n, sample, joint, name, low, high)


def _check_interval(where, low, high):
    check_finite(where, "low", low, ())
    check_finite(where, "high", high, ())
    least, most = concrete(low), concrete(high)
    if least is not None and most is not None and not least < most:
        raise ValueError(f"{where}: found low={least} and high={most}, wanted low < high")
