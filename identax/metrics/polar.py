"""Distance of a Jacobian's directions from the nearest orthonormal ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.inputs import float_type, numbers, within_range
from identax.metrics._samples import Samples
from identax.numerics import psd_eigh, unit_columns

_HIGHEST = jax.lax.Precision.HIGHEST


def polar_distance(jacobian: Samples) -> Float[Array, "..."]:
    """|| M - U V^T ||_F of every Jacobian [..., D, d], M = U S V^T its columns over their norms: 0 iff orthogonal.

    U V^T is the nearest matrix with orthonormal columns (polar factor), so this is sqrt(sum_k (s_k - 1)^2), at most
    sqrt(2 d - 2 sqrt(d)). Free of the order, sign and size of columns, finite for dependent ones, where `c_ima` is
    infinite, and near orthogonality 1/2 sqrt(sum_{i != j} R_ij^2) with R the correlations of columns, so that its
    square is c_IMA.
    Raises `ValueError` for D < d and an empty matrix.
    Source: after Bhowal et al. 2024, whose code takes an elementwise root of M^T M; here the polar factor itself.
    """
    array = numbers("polar_distance", "jacobian", jacobian)
    shape = np.shape(array)
    if len(shape) < 2 or 0 in shape or shape[-2] < shape[-1]:
        raise ValueError(f"polar_distance: found jacobian of shape {shape}, wanted [..., D, d] with D >= d >= 1")
    dtype = float_type(array)
    if isinstance(array, np.ndarray):
        (array,) = within_range(array.astype(np.float64))
    return _distance(jnp.asarray(array, dtype))


@functools.partial(jax.jit, inline=True)
def _distance(jacobian):
    flat = jacobian.reshape(-1, *jacobian.shape[-2:])
    _, units = unit_columns(flat)
    squares, _ = psd_eigh(jnp.einsum("nDi,nDj->nij", units, units, precision=_HIGHEST))
    return jnp.sqrt(jnp.sum(jnp.square(jnp.sqrt(squares) - 1), axis=-1)).reshape(jacobian.shape[:-2])
