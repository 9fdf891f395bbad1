"""The smooth leaky ReLU, its inverse and its slope: what smooth mixings are made of."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_between, concrete


def smooth_leaky_relu(t: Float[Array, "*shape"], alpha: float | int | Array = 0.2) -> Float[Array, "*shape"]:
    """alpha t + (1 - alpha) log(1 + exp t): slope alpha at -inf, 1 at +inf; alpha = 1 is the identity.

    alpha may be traced. Source: Reizinger et al. 2022, code (after Gresele et al. 2021).
    """
    return t if _known_identity(alpha) else alpha * t + (1 - alpha) * jax.nn.softplus(t)


def log_slope(t: Float[Array, "*shape"], alpha: float | int | Array = 0.2) -> Float[Array, "*shape"]:
    """log of the derivative of `smooth_leaky_relu`: log(alpha + (1 - alpha) sigmoid t), at most 0."""
    return jnp.zeros_like(t) if _known_identity(alpha) else jnp.log(alpha + (1 - alpha) * jax.nn.sigmoid(t))


def inverse_smooth_leaky_relu(y: Float[Array, "*shape"], alpha: float | int = 0.2) -> Float[Array, "*shape"]:
    """The t with `smooth_leaky_relu(t, alpha)` = y, for any real y, by Newton's method.

    The function is convex and increasing and lies above the leaky ReLU of slope alpha, so that one's inverse starts
    right of the root and every step stays there: no safeguard is needed, huge |y| are solved by the start. The number
    of steps grows with log(1/alpha): near the bend the function is an exponential until its slope reaches alpha.
    """
    if alpha == 1:
        return y
    t = jnp.where(y >= 0, y, y / alpha)
    for _ in range(6 + math.ceil(math.log(1 / alpha))):
        t = t - (smooth_leaky_relu(t, alpha) - y) / (alpha + (1 - alpha) * jax.nn.sigmoid(t))
    return t


def check_alpha(where: str, alpha: Any, *, traced: bool = False) -> Any:
    """`alpha`, as a float where it is known, which it must be but with `traced`: an inverse takes its steps by it.

    Raises `ValueError` unless 0 < alpha <= 1.
    """
    known = concrete(alpha)
    if known is None:
        if traced:
            return alpha
        raise ValueError(f"{where}: found a traced alpha, wanted a number")
    check_between(where, "alpha", alpha, 0, 1, ())
    if not known > 0:
        raise ValueError(f"{where}: found alpha={alpha}, wanted more than 0 (softplus alone has no inverse on R)")
    return float(known)


def _known_identity(alpha: Any) -> bool:
    known = concrete(alpha)
    return known is not None and bool(known == 1)
