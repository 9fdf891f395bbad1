"""Independent mechanism analysis: how far the columns of a Jacobian are from orthogonal, and their sizes.

All are functions of Jacobians J = dx/dz [..., D, d], D >= d, of a decoder or of a true mixing.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count, concrete
from identax.inputs import float_type, numbers, within_range
from identax.metrics._samples import Samples
from identax.numerics import column_shares

_HIGHEST = jax.lax.Precision.HIGHEST


def c_ima(jacobian: Samples) -> Float[Array, "..."]:
    """The IMA contrast of every Jacobian: 0 where its columns are orthogonal, larger the closer they are to dependent.

        c_IMA(J) = sum_k log ||J_k|| - 1/2 log det(J^T J) = sum_k (log ||J_k|| - log |R_kk|),    J = Q R

    in nats, `jacobian` [..., D, d] with D >= d. By Gram-Schmidt on columns of unit length, which squares no condition
    number and, unlike LAPACK's QR, is safe to map over trials. Invariant to the order, sign and scale of
    columns and to isometries of x; 0 for d = 1. The global contrast is its mean over draws of z.
    Linearly dependent columns (|R_kk| of a unit column within 4 d roundings of 0) have contrast inf, entries that are
    not finite NaN.
    Raises `ValueError` for D < d, an empty matrix, and where values are known for dependent columns.
    Source: Gresele et al. 2021, definition 4.1; QR form: own.
    """
    return _refused_if_singular("c_ima", _local(_jacobians("c_ima", jacobian)))


def mean_jacobian_c_ima(jacobian: Samples, *, batch_size: int | None = 64) -> Float[Array, ""]:
    """`c_ima` of the mean Jacobian of each of the consecutive batches, averaged over them by their sizes.

    jacobian [N, D, d]; None: one batch of all. What the experiments on VAEs plotted as c_IMA, at sampled latents. It is
    no contrast of the map: for a curved one whose local contrast is 0 everywhere it is positive (.0019 on average for
    Moebius maps), and for networks with kinks, orthogonal on average only, 5 to 60 times below the mean of `c_ima`.
    Raises `ValueError` as `c_ima`, and for a batch size that is no integer from 1 to N.
    Source: Reizinger et al. 2022, code.
    """
    where = "mean_jacobian_c_ima"
    jacobian = _jacobians(where, jacobian)
    if jacobian.ndim != 3:
        raise ValueError(f"{where}: found jacobian of shape {jacobian.shape}, wanted [N, D, d]")
    num = jacobian.shape[0]
    if batch_size is not None:
        check_count(where, "batch_size", batch_size)
        if batch_size > num:
            raise ValueError(f"{where}: found batch_size={batch_size}, wanted at most the {num} Jacobians, or None")
    return _refused_if_singular(where, _of_batch_means(jacobian, num if batch_size is None else int(batch_size)))


def column_norms(jacobian: Samples) -> Float[Array, "..."]:
    """||J_k||, Euclidean, of every column: jacobian [..., D, d], norms [..., d] in units of x per unit of z.

    Neither over- nor underflows by squaring. Those of a batch-mean Jacobian (Reizinger et al. 2022, code) are
    `column_norms(jacobian.mean(axis=0))`. Raises `ValueError` for D < d and an empty matrix.
    """
    return _norms(_jacobians("column_norms", jacobian, free_of_scale=False))


def conformal_contrast(jacobian: Samples, *, side: str = "rows") -> Float[Array, "..."]:
    """1/2 || G / max_i |G_ii| - I ||_F^2 of every Jacobian [..., D, d]: how far it is from an isometry times a number.

    `side` "rows": G = J J^T, as published; "columns": G = J^T J, the proper one for D > d, where J J^T has rank d and
    the published value is at least (D - d)/2. For D = d both are 0 for conformal maps and nothing else. A map of the
    IMA class with columns of unequal sizes is no conformal map.
    Raises `ValueError` for another side, D < d, an empty matrix, and where values are known for a Jacobian of zeros.
    Source: Reizinger et al. 2022, code.
    """
    check_choice("conformal_contrast", "side", side, ("rows", "columns"))
    jacobian = _jacobians("conformal_contrast", jacobian)
    known = concrete(jacobian)
    if known is not None and (zero := ~known.any(axis=(-2, -1))).any():
        raise ValueError(f"conformal_contrast: found {int(zero.sum())} Jacobians of zeros, wanted directions in them")
    return _conformal(jacobian, side == "rows")


def _jacobians(where: str, jacobian: Any, *, free_of_scale: bool = True) -> jax.Array:
    """`jacobian` as floats [..., D, d]; the host's over a power of two where only its directions matter."""
    array = numbers(where, "jacobian", jacobian)
    shape = np.shape(array)
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"{where}: found jacobian of shape {shape}, wanted [..., D, d] with entries")
    if shape[-2] < shape[-1]:
        raise ValueError(
            f"{where}: found jacobian of shape {shape}, {shape[-2]} observed dims of {shape[-1]} latents, so dependent "
            "columns; wanted [..., D, d] with D >= d"
        )
    dtype = float_type(array)
    if free_of_scale and isinstance(array, np.ndarray):
        (array,) = within_range(array.astype(np.float64))
    return jnp.asarray(array, dtype)


def _refused_if_singular(where: str, contrast: jax.Array) -> jax.Array:
    known = concrete(contrast)
    if known is not None and np.isposinf(known).any():
        count = int(np.isposinf(known).sum())
        raise ValueError(
            f"{where}: found {count} of {known.size} Jacobians with linearly dependent columns, whose contrast is "
            "infinite; wanted columns of full rank"
        )
    return contrast


@functools.partial(jax.jit, inline=True)
def _norms(jacobian):
    return column_shares(jacobian)[0]


@functools.partial(jax.jit, inline=True)
def _local(jacobian):
    """The contrast; where columns depend a finite number is differentiated, so that no NaN reaches other Jacobians."""
    norms, shares = column_shares(jacobian)
    dependent = (shares == 0) | (norms == 0)
    value = -jnp.sum(jnp.log(jnp.where(dependent, 1.0, shares)), axis=-1)
    finite = jnp.all(jnp.isfinite(jacobian), axis=(-2, -1))
    return jnp.where(finite, jnp.where(jnp.any(dependent, axis=-1), jnp.inf, value), jnp.nan)


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _of_batch_means(jacobian, batch_size):
    num = jacobian.shape[0]
    full = num // batch_size * batch_size
    means = jacobian[:full].reshape(-1, batch_size, *jacobian.shape[1:]).mean(axis=1)
    total = _local(means).sum() * batch_size
    if full < num:
        total = total + _local(jacobian[full:].mean(axis=0)) * (num - full)
    return total / num


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _conformal(jacobian, rows):
    """||G/m - I||^2 of the rows' G = J J^T [D, D] from the small [d, d]: D may be the pixels of an image."""
    scale = jnp.max(jnp.abs(jacobian), axis=(-2, -1), keepdims=True)
    jacobian = jacobian / scale
    squares = jnp.sum(jacobian**2, axis=-1 if rows else -2)
    largest, size = jnp.max(squares, axis=-1), squares.shape[-1]
    if rows and size == jacobian.shape[-1]:
        jacobian = jacobian.swapaxes(-1, -2)
    small = jnp.einsum("...ai,...aj->...ij", jacobian, jacobian, precision=_HIGHEST)
    if size == jacobian.shape[-1]:
        eye = jnp.eye(size, dtype=small.dtype).reshape((1,) * (small.ndim - 2) + (size, size))
        return 0.5 * jnp.sum((small / largest[..., None, None] - eye) ** 2, axis=(-2, -1))
    trace, square = jnp.sum(squares, axis=-1), jnp.sum(small**2, axis=(-2, -1))
    return 0.5 * (square / largest**2 - 2 * trace / largest + size)
