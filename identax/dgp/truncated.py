"""Symmetric one-dimensional laws restricted to an interval [low, high], exact also far in the tails.

All functions are elementwise and speak of the standard law (scale 1, centre 0). An interval is split at 0
into two half-line pieces; each piece is worked on from its own tail, so nothing is lost near 1 - epsilon.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import erf, gammainc, gammaincc, log_ndtr, ndtri
from jaxtyping import Array, Float, Key

from identax.dgp.rejection import first_accepted

_LOG2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476


def truncated_normal(key: Key[Array, ""], low: Float[Array, "*S"], high: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """Draws from the density prop. to exp(-x^2/2) on [low, high] by the inverse distribution function."""
    return _draw_either_side(key, low, high, _normal_half_log_mass, _normal_half_draw)


def truncated_laplace(key: Key[Array, ""], low: Float[Array, "*S"], high: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """Draws from the density prop. to exp(-|x|) on [low, high] by the inverse distribution function."""
    return _draw_either_side(key, low, high, _laplace_half_log_mass, _laplace_half_draw)


def truncated_generalized_normal(
    key: Key[Array, ""], low: Float[Array, " M"], high: Float[Array, " M"], p: Float[Array, ""]
) -> Float[Array, " M"]:
    """Draws from the density prop. to exp(-|x|^p), p >= 1, on [low, high] by exact rejection.

    The envelope of each half-line piece [a, b] is the lesser of exp(-a^p) and the tangent of -x^p at
    max(a, 1), which lies above by concavity; on the whole line it accepts Gamma(1 + 1/p) >= 0.88.
    """

    low, high, p = jax.lax.stop_gradient((low, high, p))

    def propose(key, rows, num):
        low, high = rows
        side, place, level = jax.random.uniform(key, (3, num, low.shape[-1]), low.dtype)
        right = _envelope(*_right(low, high), p)
        left = _envelope(*_left(low, high), p)
        right_mass, left_mass = right[3] + right[4], left[3] + left[4]
        go_right = side * (right_mass + left_mass)[None] < right_mass[None]
        chosen = (jnp.where(go_right, r[None], l[None]) for r, l in zip(right, left, strict=True))
        start, bend, slope, flat, tail = chosen
        mass = place * (flat + tail)
        beyond = jnp.minimum(slope * jnp.maximum(mass - flat, 0), 1 - jnp.finfo(low.dtype).epsneg)
        x = jnp.where(mass < flat, start + mass, start + flat - jnp.log1p(-beyond) / slope)
        log_ratio = start**p - x**p + jnp.maximum(slope * (x - bend), 0)
        x = jnp.where(go_right, x, -x)
        return x, (jnp.log(level) <= log_ratio) | ~jnp.isfinite(log_ratio)

    draw = first_accepted(propose, key, (low, high), num_proposals=2, refill=32)
    return jnp.clip(draw, low, high)


def normal_log_mass(low: Float[Array, "*S"], high: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """Returns log P(low < x < high) for x ~ N(0, 1)."""
    return _log_mass(low, high, _normal_half_log_mass)


def laplace_log_mass(low: Float[Array, "*S"], high: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """Returns log P(low < x < high) for the standard Laplace law."""
    return _log_mass(low, high, _laplace_half_log_mass)


def generalized_normal_log_mass(
    low: Float[Array, "*S"], high: Float[Array, "*S"], p: Float[Array, ""]
) -> Float[Array, "*S"]:
    """Returns log P(low < x < high) for the density prop. to exp(-|x|^p)."""

    def half(start, end):
        shape = jnp.full(start.shape, 1 / p, start.dtype)
        below = gammainc(shape, end**p) - gammainc(shape, start**p)
        above = gammaincc(shape, start**p) - gammaincc(shape, end**p)
        return jnp.log(jnp.where(start < 1, below, above)) - _LOG2

    return _log_mass(low, high, half)


def _right(low, high):
    return jnp.maximum(low, 0), jnp.maximum(high, 0)


def _left(low, high):
    return jnp.maximum(-high, 0), jnp.maximum(-low, 0)


def _safe_half(start, end, half_log_mass):
    """log mass of a half-line piece; -inf where it is empty, with a gradient that is not NaN there."""
    empty = end <= start
    value = half_log_mass(jnp.where(empty, 0.0, start), jnp.where(empty, 1.0, end))
    return jnp.where(empty, -jnp.inf, value)


def _log_mass(low, high, half_log_mass):
    left = _safe_half(*_left(low, high), half_log_mass)
    return jnp.logaddexp(left, _safe_half(*_right(low, high), half_log_mass))


def _draw_either_side(key, low, high, half_log_mass, half_draw):
    side, place = jax.random.uniform(key, (2, *low.shape), low.dtype)
    left, right = _left(low, high), _right(low, high)
    log_odds = _safe_half(*right, half_log_mass) - _safe_half(*left, half_log_mass)
    go_right = side < jax.nn.sigmoid(jax.lax.stop_gradient(log_odds))
    start, end = (jnp.where(go_right, r, l) for r, l in zip(right, left, strict=True))
    x = jnp.clip(half_draw(place, start, end), start, end)
    return jnp.where(go_right, x, -x)


def _normal_half_log_mass(start, end):
    """log(Phi(-start) - Phi(-end)), 0 <= start < end."""
    near = jnp.minimum(start, 1.0)
    by_erf = jnp.log(0.5 * (erf(jnp.maximum(end, near) * _SQRT_HALF) - erf(near * _SQRT_HALF)))
    log_start, log_end = log_ndtr(-start), log_ndtr(-end)
    by_log = log_start + jnp.log(-jnp.expm1(jnp.where(start < 1, -1.0, log_end - log_start)))
    return jnp.where(start < 1, by_erf, by_log)


def _normal_half_draw(place, start, end):
    """Solves log Phi(-x) = log of the upper tail that is left; Newton in log space, where it is concave."""
    log_start, log_end = log_ndtr(-start), log_ndtr(-end)
    target = log_start + jnp.log1p(place * jnp.expm1(log_end - log_start))
    moderate = target > -40.0
    near = -ndtri(jnp.exp(jnp.where(moderate, target, -1.0)))
    far = jnp.sqrt(jnp.where(moderate, 1.0, -2 * (target + _LOG2)))
    x = jnp.where(moderate, near, far)
    log_density = -0.5 * jnp.log(2 * jnp.pi)
    for _ in range(3):
        log_tail = log_ndtr(-x)
        x = x + (log_tail - target) * jnp.exp(log_tail - log_density + 0.5 * x * x)
    return x


def _laplace_half_log_mass(start, end):
    return -start + jnp.log(-jnp.expm1(start - end)) - _LOG2


def _laplace_half_draw(place, start, end):
    return start - jnp.log1p(place * jnp.expm1(start - end))


def _envelope(start, end, p):
    """(start, bend, slope, flat mass, tail mass) of the envelope of exp(-x^p + start^p) on [start, end]."""
    touch = jnp.maximum(start, 1.0)
    slope = p * touch ** (p - 1)
    bend = touch - (touch**p - start**p) / slope
    flat = jnp.minimum(bend, end) - start
    tail = -jnp.expm1(-slope * jnp.maximum(end - bend, 0)) / slope
    return start, bend, slope, flat, tail
