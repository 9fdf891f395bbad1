"""Random linear mixings that leave the columns of a Jacobian at angles: what destroys independent mechanisms."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_count, concrete
from identax.dgp._checks import points
from identax.dgp.mixings import Mixing
from identax.rng import stream


def unit_determinant_linear(n: int) -> Mixing:
    """x = L z with L = M / |det M|^(1/n), entries of M from U(0, 1): |det L| = 1, its sign is free.

    The IMA contrast of L is that of M, for n = 3: mean 2.300, standard deviation 1.200. Weights: L [n, n].
    Raises `ValueError` for n < 1. Source: Reizinger et al. 2022, code.
    """
    check_count("unit_determinant_linear", "n", n)

    def init(key: Key[Array, ""]) -> Float[Array, "n n"]:
        matrix = _uniform_matrix(key, n)
        return matrix * jnp.exp(-jnp.linalg.slogdet(matrix)[1] / n)

    return _linear("unit_determinant_linear", n, init)


def unit_column_linear(n: int) -> Mixing:
    """x = L z with L = M / (column norms), entries of M from U(0, 1): the contrast has the law of M's.

    Weights: L [n, n]. Raises `ValueError` for n < 1. Source: Reizinger et al. 2022, code.
    """
    check_count("unit_column_linear", "n", n)

    def init(key: Key[Array, ""]) -> Float[Array, "n n"]:
        matrix = _uniform_matrix(key, n)
        return matrix / jnp.linalg.norm(matrix, axis=0, keepdims=True)

    return _linear("unit_column_linear", n, init)


def rows_at_cosine(cosine: ArrayLike) -> Mixing:
    """x = L z in two dimensions, the rows of L being (1, 0) and (cosine, sine): nothing is drawn.

    The determinant is the sine, not 1. The contrast asks for columns: c_IMA(L) = 1/2 log(1 + cosine^2), at most .347.
    `cosine` may be traced. Raises `ValueError` outside -1 < cosine < 1, where rows are parallel.
    Source: Reizinger et al. 2022, code.
    """
    check_between("rows_at_cosine", "cosine", cosine, -1, 1, ())
    known = concrete(cosine)
    if known is not None and abs(known) == 1:
        raise ValueError(f"rows_at_cosine: found cosine={known}, wanted less than 1 in size: the rows are parallel")

    def init(key: Key[Array, ""]) -> Float[Array, "2 2"]:
        c = jnp.asarray(cosine, float)
        return jnp.stack([jnp.array([1.0, 0.0]), jnp.stack([c, jnp.sqrt((1 - c) * (1 + c))])])

    return _linear("rows_at_cosine", 2, init)


def _uniform_matrix(key, n):
    return jax.random.uniform(stream(key, "mixing"), (n, n))


def _linear(where: str, n: int, init: Callable[[Key[Array, ""]], Array]) -> Mixing:
    def apply(weight: Any, z: Any) -> Float[Array, "N n"]:
        return points(where, "latents", z, n) @ weight.T

    def inverse(weight: Any, x: Any) -> Float[Array, "N n"]:
        return jnp.linalg.solve(weight, points(f"{where}.inverse", "observations", x, n).T).T

    def log_det(weight: Any, z: Any) -> Float[Array, " N"]:
        z = points(where, "latents", z, n)
        return jnp.broadcast_to(jnp.linalg.slogdet(weight)[1], z.shape[:1]).astype(z.dtype)

    return Mixing(init, apply, inverse, log_det)
