"""Jacobians of maps with few inputs, by forward mode: as many directional derivatives as inputs, whatever comes out."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_count, check_positive
from identax.inputs import kept

_BYTES = 2**26  # of the Jacobians of one chunk


def jacobian(function: Callable[[Array], Array], z: Any, *, chunk_size: Any = None) -> Float[Array, "N *shape d"]:
    """df/dz of every example: [N, ..., d] of `function: z [N, d] -> [N, ...]`, which maps each row apart.

    d Jacobian-vector products of the whole batch at once; a reverse pass for each output would be as many as there are
    pixels. `chunk_size` examples at a time, by default as many as 64 MiB of Jacobians hold: intermediate values are as
    many. Rows must not depend on each other (no batch normalisation in training): that is not checked.
    To be called inside `jit` where it is called more than once: `function` is a new one to JAX at every call.
    Raises `ValueError` unless z is [N, d], for numbers of the host whose digits float32 loses to an offset, for a
    `function` that keeps no leading axis N and for chunk_size < 1.
    """
    z = _rows("jacobian", z)
    shaped = jax.eval_shape(function, z)
    _check_rows("jacobian", shaped, z)
    if chunk_size is None:
        chunk_size = max(1, _BYTES // (math.prod(shaped.shape[1:]) * z.shape[1] * shaped.dtype.itemsize))
    check_count("jacobian", "chunk_size", chunk_size)
    if chunk_size >= len(z):
        return _whole(function, z)
    return jax.lax.map(lambda row: _whole(function, row[None])[0], z, batch_size=chunk_size)


def forward_differences(
    function: Callable[[Array], Array], z: Any, *, step: float = 1e-3
) -> Float[Array, "N *shape d"]:
    """(f(z + step e_k) - f(z)) / step for every k: [N, ..., d], as `jacobian` but for an error of order `step`.

    For numbers published with differences (JL1-VAE: 1e-3); in float32 they carry rounding of about 1e-7 |f| / step.
    Raises `ValueError` as `jacobian`, and for a step known not to be finite and > 0.
    Source: Rhodes and Lee 2021, code.
    """
    where = "forward_differences"
    check_positive(where, "step", step, ())
    z = _rows(where, z)
    _check_rows(where, jax.eval_shape(function, z), z)
    moved = z[None] + step * jnp.eye(z.shape[1], dtype=z.dtype)[:, None, :]
    return jnp.moveaxis((jax.vmap(function)(moved) - function(z)[None]) / step, 0, -1)


def _rows(where, z):
    z = jnp.asarray(kept(where, "z", z))
    if z.ndim != 2 or 0 in z.shape:
        raise ValueError(f"{where}: found z of shape {z.shape}, wanted [N, d] with N, d >= 1")
    return z


def _check_rows(where, shaped, z):
    if not hasattr(shaped, "shape") or not shaped.shape or shaped.shape[0] != len(z):
        raise ValueError(f"{where}: found function(z) of {shaped} for z of shape {z.shape}, wanted [N, ...]")


def _whole(function, z):
    def along(direction):
        return jax.jvp(function, (z,), (jnp.broadcast_to(direction, z.shape),))[1]

    return jax.vmap(along, out_axes=-1)(jnp.eye(z.shape[1], dtype=z.dtype)[:, None, :])
