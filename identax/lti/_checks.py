"""Arrays that fit together: pairs, controls of every sample, the matrices and covariances of a state-space model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_finite, check_nonnegative, check_positive, concrete, shape_of
from identax.inputs import float_type, kept, numbers

# Loose on purpose: what is no array of numbers is refused with a message that says what is wanted.
if TYPE_CHECKING:
    Data = ArrayLike | Sequence[Any]
else:
    Data = object


def checked_pairs(where: str, pairs):
    """Returns the pairs as an array; raises `ValueError` unless they are [N, 2, d_y], finite where concrete."""
    check_finite(where, "pairs", pairs, ("N", 2, "d_y"))
    return jnp.asarray(kept(where, "pairs", pairs))


def per_sample(where: str, name: str, values, count: int, dim: int, *, positive: bool = False):
    """Returns values [count, dim] of every sample, given so or as [dim] for all; positive where asked for."""
    shape = shape_of(values)
    if shape not in ((dim,), (count, dim)):
        raise ValueError(f"{where}: found {name} of shape {shape}, wanted [{count}, {dim}] or [{dim}]")
    (check_positive if positive else check_finite)(where, name, values)
    given = numbers(where, name, values)
    return jnp.broadcast_to(jnp.asarray(given, float_type(given)).reshape(-1, dim), (count, dim))


def system_matrices(where: str, observations, A, B, C):
    """Observations [T, d_y] and A, B, C as arrays of one floating-point type; `ValueError` unless they fit."""
    y = jnp.asarray(kept(where, "observations", observations))
    A, B, C = (jnp.asarray(numbers(where, name, values)) for name, values in (("A", A), ("B", B), ("C", C)))
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(f"{where}: found observations of shape {y.shape}, wanted one trajectory [T, d_y]")
    num_states = A.shape[0] if A.ndim == 2 else 0
    fits = A.shape == (num_states, num_states) and B.shape[:1] == A.shape[:1] and B.ndim == 2
    if not fits or C.shape != (y.shape[1], num_states):
        raise ValueError(
            f"{where}: found A {A.shape}, B {B.shape}, C {C.shape}, wanted [d_x, d_x], [d_x, d_u], "
            f"[{y.shape[1]}, d_x] for observations {y.shape}"
        )
    dtype = jnp.result_type(float, y, A, B, C)
    for name, values in (("observations", y), ("A", A), ("B", B), ("C", C)):
        check_finite(where, name, values)
    return tuple(values.astype(dtype) for values in (y, A, B, C))


def shaped(where: str, name: str, values, shape, dtype):
    """Values as a finite array of that shape."""
    array = jnp.asarray(numbers(where, name, values), dtype)
    check_finite(where, name, array, shape)
    return array


def covariance_matrix(where: str, name: str, values, dim: int, dtype):
    """One variance, [dim] variances or a [dim, dim] covariance as a matrix."""
    array = jnp.asarray(numbers(where, name, values), dtype)
    if array.ndim < 2:
        if array.shape not in ((), (dim,)):
            raise ValueError(f"{where}: found {name} of shape {array.shape}, wanted (), ({dim},) or ({dim}, {dim})")
        variances = jnp.broadcast_to(array, (dim,))
        check_nonnegative(where, name, variances)
        return jnp.diag(variances)
    array = shaped(where, name, array, (dim, dim), dtype)
    known = concrete(array)
    if known is not None:
        scale = np.abs(known).max()
        tolerance = 100 * dim * np.finfo(known.dtype).eps * scale
        if np.abs(known - known.T).max() > tolerance or np.linalg.eigvalsh(known).min() < -tolerance:
            raise ValueError(f"{where}: found {name} that is not symmetric and positive semidefinite:\n{known}")
    return array
