"""How far a linear system that was found is from the true one."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from identax.checks import check_count, concrete, shape_of
from identax.inputs import within_range
from identax.metrics._matching import best_assignment

Systems = Any
"""arrays or nested lists, complex ones too"""


def amari_distance(product: Systems, *, squared: bool = False) -> Float[Array, ""]:
    """How far a matrix is from a scaled permutation: 0 for one, at most 1.

    (sum_i (sum_j a_ij / max_j a_ij - 1) + sum_j (sum_i a_ij / max_i a_ij - 1)) / (2 d (d - 1)), a_ij = |product_ij|.
    `product` is unmixing times mixing: here W_1 C B. By chance (Gaussian entries) about .45 for d = 2 and .3 for
    d = 10. 0 for d = 1. Raises `ValueError` unless the matrix is square.
    Source: Amari, Cichocki & Yang 1996.
    """
    product = _given("amari_distance", "product", product)
    shape = shape_of(product)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"amari_distance: found a matrix {shape}, wanted a square one")
    return _amari(*within_range(product), squared)


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _amari(product, squared):
    dim = product.shape[0]
    sizes = jnp.abs(product)
    if squared:
        sizes = (sizes / sizes.max()) ** 2
    if dim == 1:
        return jnp.zeros((), sizes.dtype)
    rows = (sizes.sum(axis=1) / sizes.max(axis=1) - 1).sum()
    columns = (sizes.sum(axis=0) / sizes.max(axis=0) - 1).sum()
    return (rows + columns) / (2 * dim if squared else 2 * dim * (dim - 1))


def relative_error(found: Systems, true: Systems) -> Float[Array, ""]:
    """||found - true|| / ||true|| in the Frobenius norm; 1 for found = 0.

    Differences between arrays of the host are taken in float64.
    Raises `ValueError` for unequal shapes and empty arrays.
    """
    found, true = _given("relative_error", "found", found), _given("relative_error", "true", true)
    if shape_of(found) != shape_of(true) or 0 in shape_of(found):
        raise ValueError(
            f"relative_error: found shapes {shape_of(found)} and {shape_of(true)}, wanted equal ones with entries"
        )
    if isinstance(found, np.ndarray) or isinstance(true, np.ndarray):
        known = concrete(found), concrete(true)
        if known[0] is not None and known[1] is not None:
            true, difference = within_range(known[1], known[0] - known[1])
            return _quotient_of_norms(difference, true)
    return _quotient_of_norms(jnp.asarray(found) - jnp.asarray(true), jnp.asarray(true))


@functools.partial(jax.jit, inline=True)
def _quotient_of_norms(difference, true):
    return jnp.linalg.norm(jnp.ravel(difference)) / jnp.linalg.norm(jnp.ravel(true))


def transfer_function_error(found: Systems, true: Systems) -> Float[Array, ""]:
    """Relative error of a transfer function on a grid, up to order, sign and scale of the inputs.

    Column j of `found` [Z, d_y, d_u] is fitted to column i of `true` by a real factor; the columns are matched so that
    the total squared error, over the total squared size, is smallest; the root of that. 0: the same system; 1: nothing
    in common. Raises `ValueError` for unequal shapes and empty arrays.
    Source: Rajendran et al. 2024, corollary 11 (H(z) is identified up to a permutation and a diagonal scaling).
    """
    found, true = (_given("transfer_function_error", *pair) for pair in (("found", found), ("true", true)))
    if shape_of(found) != shape_of(true) or len(shape_of(found)) != 3 or 0 in shape_of(found):
        raise ValueError(
            f"transfer_function_error: found shapes {shape_of(found)} and {shape_of(true)}, wanted equal [Z, d_y, d_u]"
        )
    return _matched_error(*within_range(found), *within_range(true))


@functools.partial(jax.jit, inline=True)
def _matched_error(found, true):
    inner = jnp.einsum("zai,zaj->ij", true.conj(), found).real
    size_found = (jnp.abs(found) ** 2).sum(axis=(0, 1))
    size_true = (jnp.abs(true) ** 2).sum(axis=(0, 1))
    explained = inner**2 / jnp.where(size_found > 0, size_found, 1.0)[None, :]
    matched = best_assignment(explained)
    left = size_true - jnp.take_along_axis(explained, matched[:, None], axis=1)[:, 0]
    return jnp.sqrt(jnp.maximum(left.sum(), 0.0) / size_true.sum())


def _given(where: str, name: str, value: Systems) -> Any:
    """`value` of numbers, in NumPy unless it is JAX's; integers of either become floats."""
    if not isinstance(value, jax.Array):
        try:
            value = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: found {name} that is no array ({error}), wanted numbers") from None
    if value.dtype.kind in "iub":
        return value.astype(np.float64 if isinstance(value, np.ndarray) else jnp.result_type(float))
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        raise ValueError(f"{where}: found {name} of type {value.dtype}, wanted numbers")
    return value


def frequency_grid(num: int = 64) -> Inexact[Array, " num"]:
    """z = exp(i w) for `num` frequencies w, evenly spaced over (0, pi), in radians per step."""
    check_count("frequency_grid", "num", num)
    return jnp.exp(1j * jnp.pi * (jnp.arange(num) + 0.5) / num)
