"""Conditional independence of jointly Gaussian variables: partial correlations and Fisher's z."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import concrete, is_integer, shape_of
from identax.inputs import centred, float_type, numbers

# Loose on purpose: what is no array of numbers is refused with a message that says what is wanted.
if TYPE_CHECKING:
    Data = ArrayLike | Sequence[Any]
else:
    Data = object


def partial_correlation(x: Data, y: Data, given: Data | None = None) -> Float[Array, "..."]:
    """Correlation of every column of x with every column of y after regression of both on `given`.

        r_ij = corr(x_i - E^[x_i | given], y_j - E^[y_j | given]),    E^: least squares with an intercept,
        for single x, y: -P_xy / sqrt(P_xx P_yy),  P the inverse covariance of (x, y, given)

    For jointly Gaussian variables r_ij = 0 in expectation if and only if x_i and y_j are independent given `given`.
    Args: `x` [N, p] or [N], `y` [N, q] or [N], `given` [N, k] or [N] (None: plain correlations), one row per
    independent sample. Returns [p, q], without the axis of an argument of shape [N]. Columns of `given` may depend
    on each other; NaN for a column that is constant given `given`, to rounding, and from entries that are not finite.
    Compiles, maps over batches and is differentiable; columns are orthogonalised one by one (modified Gram-Schmidt), so
    nothing is inverted.
    Arrays of the host are centred in float64 before they become float32, so that offsets cost no digits.
    Raises `ValueError` for other shapes, complex entries, unequal N and N < 2.
    Source: Fisher 1924 (the distribution of the partial correlation coefficient).
    """
    shapes = [shape_of(value) for value in (x, y, *(() if given is None else (given,)))]
    if any(len(shape) not in (1, 2) or shape[0] != shapes[0][0] or shape[0] < 2 for shape in shapes):
        raise ValueError(
            f"partial_correlation: found shapes {shapes}, wanted x [N, p], y [N, q] and given [N, k] with N >= 2"
        )
    arrays = {
        name: value for name, value in (("x", x), ("y", y), ("given", given)) if name != "given" or value is not None
    }
    values = {name: numbers("partial_correlation", name, value) for name, value in arrays.items()}
    dtype = float_type(*values.values())
    moved = [
        centred("partial_correlation", scaled=True, dtype=dtype, **{name: value})[0] for name, value in values.items()
    ]
    found = _correlations(*(jnp.asarray(part).reshape(shapes[0][0], -1) for part in moved))
    return found.reshape(shapes[0][1:] + shapes[1][1:])


@partial(jax.jit, inline=True)
def _correlations(x, y, extra=None):
    num, dtype = x.shape[0], x.dtype
    extra = jnp.zeros((num, 0), dtype) if extra is None else extra
    sizes = (x.shape[1], y.shape[1], extra.shape[1])
    work = jnp.concatenate([x, y, extra], axis=1)
    work = _residuals(_standardised(work), sizes[0] + sizes[1], sizes[2])
    norms = _norms(work)
    varies = norms > _rounding(num, dtype)
    work = jnp.where(varies[None, :], work / jnp.where(varies, norms, 1.0)[None, :], jnp.nan)
    left, right = work[:, : sizes[0]], work[:, sizes[0] :]
    found = jnp.matmul(left.T, right, precision=jax.lax.Precision.HIGHEST)
    return jnp.clip(found, -1.0, 1.0)


def fisher_z_test(correlation: Data, num_samples: Any, num_given: Any = 0) -> Float[Array, "..."]:
    """Two-sided p-values of "this (partial) correlation is zero", elementwise, for Gaussian samples.

        z = sqrt(N - k - 3) artanh(r),    p = 2 (1 - Phi(|z|)) = erfc(|z| / sqrt 2)

    `correlation` of any shape in [-1, 1], from `num_samples` = N independent samples; `num_given` = k variables were
    regressed out (linearly independent ones count). p is uniform under independence up to O(1/N^2); NaN gives NaN.
    Raises `ValueError` for N - k < 4, k < 0 and, where concrete, correlations outside [-1, 1].
    Source: Fisher 1915, 1924.
    """
    counts = is_integer(num_samples) and is_integer(num_given)
    if not counts or num_given < 0 or num_samples - num_given < 4:
        raise ValueError(
            f"fisher_z_test: found num_samples={num_samples!r}, num_given={num_given!r}, wanted integers, num_given >= "
            "0 and at least 4 samples more"
        )
    given = numbers("fisher_z_test", "correlation", correlation)
    known = concrete(given)
    if known is not None and (np.abs(known) > 1).any():
        raise ValueError(f"fisher_z_test: found a correlation of {np.abs(known).max()}, wanted them in [-1, 1]")
    return two_sided(jnp.asarray(given, float_type(given)), num_samples - num_given - 3)[1]


def two_sided(correlation, degrees):
    """Fisher's z = sqrt(degrees) artanh(correlation) and the p-value of one so large; `degrees` may be traced."""
    z = jnp.arctanh(correlation) * jnp.sqrt(jnp.asarray(degrees, correlation.dtype))
    return z, erfc(jnp.abs(z) / math.sqrt(2))


def _standardised(work):
    """Columns centred and of norm 1, so that what counts as rounding does not depend on units; 0 for constants."""
    centred = work - work.mean(axis=0)[None, :]
    norms = _norms(centred)
    varies = ~(norms <= 8 * float(jnp.finfo(work.dtype).eps) * jax.lax.stop_gradient(_norms(work)))
    return jnp.where(varies[None, :], centred / jnp.where(varies, norms, 1.0)[None, :], 0.0)


def _residuals(work, num_kept, num_given):
    """The first `num_kept` columns of [N, num_kept + num_given] less their projections on the others."""
    tolerance = _rounding(work.shape[0], work.dtype)

    def remove(number, work):
        column = jax.lax.dynamic_slice_in_dim(work, num_kept + number, 1, axis=1)
        norm = _norms(column)
        left = ~(norm <= tolerance)  # NaN of one given column is NaN of every correlation
        unit = jnp.where(left, column / jnp.where(left, norm, 1.0)[None, :], 0.0)
        return work - unit * jnp.matmul(unit.T, work, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.fori_loop(0, num_given, remove, work)[:, :num_kept]


def _norms(columns):
    """Of each column; its gradient is 0 where the norm is."""
    squares = (columns * columns).sum(axis=0)
    none = squares <= 0
    return jnp.where(none, 0.0, jnp.sqrt(jnp.where(none, 1.0, squares)))


def _rounding(num, dtype):
    """Below this norm a column of norm 1 has become rounding."""
    return 8 * math.sqrt(num) * float(jnp.finfo(dtype).eps)
