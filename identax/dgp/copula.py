"""Correlated factors with Beta marginals: a Gaussian copula and the inverse of the Beta law's distribution function."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln, digamma, polygamma
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_count, check_finite, check_positive, check_shape, concrete
from identax.dgp.base import compiled
from identax.inputs import float_type, numbers

_ROUNDS, _ROUNDS_DOUBLE = 20, 40  # at most; Newton needs about 5 unless a tail is far out


def inverse_beta_cdf(
    p: ArrayLike | Sequence[Any], alpha: ArrayLike | Sequence[Any], beta: ArrayLike | Sequence[Any]
) -> Float[Array, "..."]:
    """The u in [0, 1] with I_u(alpha, beta) = p, where I is the regularised incomplete Beta function.

    `p` in [0, 1], alpha and beta > 0, broadcast against each other. Newton's method inside a bracket that bisection
    shrinks; accurate to 1e-10 in float64, to 1e-5 in float32. Has no derivative.
    Raises `ValueError` for p outside [0, 1], and for parameters that are not finite and > 0.
    """
    given: tuple[Any, ...] = (("p", p), ("alpha", alpha), ("beta", beta))
    p, alpha, beta = (numbers("inverse_beta_cdf", name, value) for name, value in given)
    check_between("inverse_beta_cdf", "p", p, 0, 1)
    for name, value in (("alpha", alpha), ("beta", beta)):
        check_positive("inverse_beta_cdf", name, value)
    dtype, shapes = float_type(p, alpha, beta), [np.shape(value) for value in (p, alpha, beta)]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"inverse_beta_cdf: found p, alpha, beta of shapes {shapes}, wanted ones that broadcast"
        ) from None
    return _invert(*(jnp.broadcast_to(jnp.asarray(value, dtype), shape) for value in (p, alpha, beta)))


def _solve(p: Array, alpha: Array, beta: Array) -> Array:
    """Newton's steps from the normal law with the mean and variance of logit(u), inside a bracket."""
    info = jnp.finfo(p.dtype)
    most = _ROUNDS if info.bits <= 32 else _ROUNDS_DOUBLE
    log_norm = betaln(alpha, beta)
    middle, width = digamma(alpha) - digamma(beta), jnp.sqrt(polygamma(1, alpha) + polygamma(1, beta))
    first = jax.nn.sigmoid(middle + width * norm.ppf(jnp.clip(p, info.tiny, 1 - info.eps)))

    def step(carry):
        low, high, u, _, count = carry
        reached = betainc(alpha, beta, u)
        error = reached - p
        low, high = jnp.where(error <= 0, u, low), jnp.where(error >= 0, u, high)
        density = jnp.exp((alpha - 1) * jnp.log(u) + (beta - 1) * jnp.log1p(-u) - log_norm)
        newton = u - reached / density * jnp.log(reached / p)  # on log I, which is nearly straight in the lower tail
        new = jnp.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        # What `betainc` itself rounds off cannot be told from 0.
        moved = (jnp.abs(new - u) > 4 * info.eps * u) & (jnp.abs(error) > 64 * info.eps * p)
        return low, high, jnp.where(error == 0, u, new), moved, count + 1

    def unfinished(carry):
        *_, moved, count = carry
        return moved.any() & (count < most)

    # The carry takes its type of variation from p, so that the loop also stands inside vmap and shard_map.
    zero = 0 * p
    start = zero, zero + 1, jnp.clip(first, info.tiny, 1 - info.eps) + zero, zero == 0, jnp.asarray(0)
    found = jax.lax.while_loop(unfinished, step, start)[2]
    return jnp.where(p <= 0, 0, jnp.where(p >= 1, 1, found))


_invert = compiled(_solve)


def correlated_beta(
    key: Key[Array, ""],
    num: int,
    alpha: ArrayLike | Sequence[Any],
    beta: ArrayLike | Sequence[Any],
    correlation: ArrayLike | Sequence[Any],
) -> Float[Array, "num k"]:
    """Draws u [num, k] with marginals Beta(alpha_i, beta_i) and the dependence of a normal vector (Gaussian copula).

        u_i = F_i^-1(Phi(g_i)),    g ~ N(0, R),    F_i the distribution function of Beta(alpha_i, beta_i)

    `alpha`, `beta`: [k]. `correlation`: the matrix R [k, k], or one number rho for all pairs. The rank correlation of
    Spearman is (6 / pi) arcsin(R_ij / 2). Values above the median come from the other end of the law, so that no
    tail is rounded off.
    Raises `ValueError` for num < 1, parameters that are not [k] and > 0, and an R that is no positive definite
    correlation matrix (rho outside (-1 / (k - 1), 1)).
    """
    check_count("correlated_beta", "num", num)
    for name, value in (("alpha", alpha), ("beta", beta)):
        check_positive("correlated_beta", name, value, ("k",))
    alpha, beta = jnp.asarray(alpha, float), jnp.asarray(beta, float)
    check_shape("correlated_beta", "beta", beta, alpha.shape)
    factor = jnp.linalg.cholesky(correlation_matrix("correlated_beta", correlation, alpha.shape[0]))
    g = jax.random.normal(key, (num, alpha.shape[0]), factor.dtype) @ factor.T
    upper = g > 0
    first, second = (jnp.broadcast_to(side, g.shape) for side in (alpha, beta))
    found = _invert(norm.cdf(-jnp.abs(g)), jnp.where(upper, second, first), jnp.where(upper, first, second))
    return jnp.where(upper, 1 - found, found)


def correlation_matrix(where: str, correlation: ArrayLike | Sequence[Any], k: int) -> Float[Array, "k k"]:
    """`correlation` as a matrix [k, k]: as it is, or with one number for all pairs.

    Raises `ValueError` unless it is symmetric, has a unit diagonal and is positive definite.
    """
    values = numbers(where, "correlation", correlation)
    if np.ndim(values) == 0:
        off = jnp.asarray(values, float)
        values = jnp.where(jnp.eye(k, dtype=bool), jnp.ones((), off.dtype), off)
    check_finite(where, "correlation", values, (k, k))
    known = concrete(values)
    if known is not None:
        symmetric = np.allclose(known, known.T, atol=1e-6) and np.allclose(np.diag(known), 1, atol=1e-6)
        if not symmetric or np.linalg.eigvalsh(known.astype(float))[0] <= 1e-7:
            raise ValueError(f"{where}: found correlation={known.tolist()}, wanted a positive definite correlation")
    return jnp.asarray(values, float)
