"""Moebius transformations: nonlinear mixings whose Jacobian has orthogonal columns of equal length."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_finite, check_nonnegative, concrete
from identax.dgp._checks import points
from identax.dgp.mixings import Mixing
from identax.rng import stream


class MoebiusWeights(NamedTuple):
    """Parameters of `moebius`: `rotation` A [n, n] orthogonal, `pole` a [n], `scale` alpha [], `offset` b [n]."""

    rotation: Array
    pole: Array
    scale: Array
    offset: Array


def moebius(n: int, *, epsilon: float | int = 2.0, scale: float | int = 1.0, clearance: float | int = 0.5) -> Mixing:
    """x = b + alpha A (z - a) / ||z - a||^epsilon on R^n without the pole a.

        J = alpha r^-epsilon A (I - epsilon u u^T),   r = ||z - a||,   u = (z - a) / r
        log|det J| = n log|alpha| - n epsilon log r + log|1 - epsilon|
        z = a + w ||w||^(epsilon / (1 - epsilon)),    w = A^T (x - b) / alpha

    For epsilon = 2 (and 0, a rotation) the map is conformal: all singular values are equal and the IMA contrast is 0.
    Other epsilon > 1 have these closed forms too, and a positive contrast; 1 has no inverse.
    `init` draws A Haar, every coordinate of a from N(0, 1) given |a_i| > `clearance` (by its distribution function, no
    rejection), so that a cube of that half-width is clear of the pole; alpha = `scale`, b = 0.

    `apply` and `log_det` raise `ValueError` for latents at the pole, `inverse` for observations at b, which no latent
    reaches, and all for another shape than [N, n]; the constructor for n < 1, an epsilon that is neither 0 nor above 1,
    scale = 0 or clearance < 0.
    Source: Reizinger et al. 2022, code; Gresele et al. 2021, section 4.
    """
    check_count("moebius", "n", n)
    check_finite("moebius", "epsilon", epsilon, ())
    if concrete(epsilon) is None or not (epsilon == 0 or epsilon > 1):
        raise ValueError(f"moebius: found epsilon={epsilon}, wanted 0 or a known number above 1")
    check_finite("moebius", "scale", scale, ())
    check_nonnegative("moebius", "clearance", clearance, ())
    if concrete(scale) is not None and scale == 0:
        raise ValueError("moebius: found scale=0, wanted another number")

    def init(key: Key[Array, ""]) -> MoebiusWeights:
        return MoebiusWeights(
            rotation=jax.random.orthogonal(stream(key, "rotation"), n),
            pole=_clear_of_the_cube(stream(key, "pole"), n, clearance),
            scale=jnp.asarray(scale, float),
            offset=jnp.zeros(n),
        )

    def from_pole(weights, z):
        away = points("moebius", "latents", z, n) - weights.pole[None, :]
        if epsilon:
            _refuse_zero("moebius", "latents", "the pole, where the map has no value", away)
        return away, jnp.square(away).sum(axis=1)

    def apply(weights: Any, z: Any) -> Float[Array, "N n"]:
        away, squared = from_pole(weights, z)
        ray = away / squared[:, None] ** (epsilon / 2)
        return weights.offset[None, :] + weights.scale * ray @ weights.rotation.T

    def inverse(weights: Any, x: Any) -> Float[Array, "N n"]:
        away = points("moebius.inverse", "observations", x, n) - weights.offset[None, :]
        if epsilon:
            _refuse_zero("moebius.inverse", "observations", "the offset, which no latent reaches", away)
        ray = away @ weights.rotation / weights.scale
        power = epsilon / (1 - epsilon) / 2
        return weights.pole[None, :] + ray * jnp.square(ray).sum(axis=1, keepdims=True) ** power

    def log_det(weights: Any, z: Any) -> Float[Array, " N"]:
        _, squared = from_pole(weights, z)
        constant = n * jnp.log(jnp.abs(weights.scale)) + jnp.log(jnp.abs(1.0 - epsilon))
        return constant - n * epsilon / 2 * jnp.log(squared)

    return Mixing(init, apply, inverse, log_det)


def reference_moebius() -> MoebiusWeights:
    """The one mixing of the published Moebius sweep (n = 3, epsilon = 2), with its data's mean folded into b.

    Constants, because the published draw depends on a version of SciPy. For sources uniform on [-1/2, 1/2)^3:
    trace of the covariance .00767, E log p(x) = 5.293, mean squared column norm .03318. Of A eight digits are known; it
    is the orthogonal matrix nearest to them, so that the inverse is exact.
    Source: Reizinger et al. 2022, code with data seed 1.
    """
    printed, pole, mean = _REFERENCE
    left, _, right = np.linalg.svd(printed)
    return MoebiusWeights(jnp.asarray(left @ right), jnp.asarray(pole), jnp.ones(()), -jnp.asarray(mean))


_REFERENCE = (
    np.array(
        [
            [0.89529806, 0.07969353, 0.43828110],
            [-0.33718466, 0.76419597, 0.54982818],
            [-0.29111491, -0.64004176, 0.71105461],
        ]
    ),
    np.array([1.74481176, -0.76120690, 1.46210794]),
    np.array([-0.36681, 0.06264, -0.17425]),
)


def _clear_of_the_cube(key: Key[Array, ""], n: int, clearance: ArrayLike) -> Float[Array, " n"]:
    """N(0, 1)^n given that every |coordinate| > clearance: the tail's quantile function, with a random sign."""
    half = jnp.asarray(clearance, float)
    share = 1 - jax.random.uniform(stream(key, "size"), (n,))  # in (0, 1]: the quantile is finite
    size = -ndtri(ndtr(-half) * share)
    size = jnp.maximum(jnp.where(jnp.isfinite(size), size, half), half)  # far out the tail's probability rounds to 0
    return size * jax.random.rademacher(stream(key, "sign"), (n,), size.dtype)


def _refuse_zero(where, name, place, away):
    known = concrete(away)
    if known is not None and known.size and (known == 0).all(axis=1).any():
        raise ValueError(f"{where}: found {int((known == 0).all(axis=1).sum())} {name} at {place}; wanted none")
