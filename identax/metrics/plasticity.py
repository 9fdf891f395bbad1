"""Signs of a network that can no longer learn: units that are silent, features of low rank, weights that grow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_between, check_nonnegative, concrete, shape_of
from identax.inputs import float_type, kept
from identax.metrics._samples import Samples, matrices, unmoved
from identax.metrics._trees import Tree, leaves_of
from identax.numerics import column_space

_HIGHEST = jax.lax.Precision.HIGHEST
_GUARD = 1e-9


def dormant_share(activations: Tree, *, threshold: float = 0.0, pooled: bool = False) -> Float[Array, ""]:
    """Share of dormant units: s_i <= threshold, with s_i = E|h_i| / (mean_k E|h_k| + 1e-9) within the unit's layer.

    Threshold 0: units that are silent on every sample (dead). In a layer that is silent altogether all are dormant. The
    mean over layers, or with `pooled` the share of the units of all layers together.
    Args: `activations` [..., units] of one layer or a tree of them, E over all axes but the last (of a convolution
    also over positions). Raises `ValueError` for a negative threshold, a scalar, a layer without entries, none at all.
    Source: Sokar et al. 2023; pooled at 0: Dohare et al. 2024.
    """
    where = "dormant_share"
    check_nonnegative(where, "threshold", threshold, ())
    layers = leaves_of(where, "activations", activations, least_axes=1)
    dtype = float_type(*layers)
    return _dormant(tuple(kept(where, "activations", layer, dtype) for layer in layers), threshold, bool(pooled))


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _dormant(layers, threshold, pooled):
    marks = []
    for layer in layers:
        size = jnp.mean(jnp.abs(layer.reshape(-1, layer.shape[-1])), axis=0)
        dormant = (size / (jnp.mean(size) + _GUARD) <= threshold).astype(size.dtype)
        marks.append(jnp.where(jnp.all(jnp.isfinite(size)), dormant, jnp.nan))
    return jnp.mean(jnp.concatenate(marks) if pooled else jnp.stack([jnp.mean(mark) for mark in marks]))


def effective_rank(features: Samples) -> Float[Array, ""]:
    """exp(-sum_k p_k log p_k) with p = sigma / sum(sigma), of the singular values of features [N, units].

    The features are not centred. 1 for rank one, min(N, units) for equal values, 0 where all features are 0, NaN where
    one is not finite. Raises `ValueError` unless N >= 2 and units >= 1.
    Source: Roy & Vetterli 2007; of features in Dohare et al. 2024.
    """
    return _effective_rank(_matrix("effective_rank", features))


def numerical_rank(features: Samples, *, share: float = 0.99, power: int = 2) -> Float[Array, ""]:
    """The least k whose largest singular values have sum_(j <= k) sigma_j^power >= share sum_j sigma_j^power.

    `power` 2 is the "approximate rank" of Dohare et al. 2024; 1 is srank of Kumar et al. 2021 at delta = 1 - share,
    which others call stable rank. Features and special values as in `effective_rank`.
    Raises `ValueError` for a power other than 1 and 2, a share outside 0..1, and as `effective_rank`.
    """
    if isinstance(power, bool) or power not in (1, 2):
        raise ValueError(f"numerical_rank: found power={power!r}, wanted 1 or 2")
    check_between("numerical_rank", "share", share, 0, 1, ())
    return _numerical_rank(_matrix("numerical_rank", features), share, int(power))


def stable_rank(features: Samples) -> Float[Array, ""]:
    """||A||_F^2 / ||A||_2^2 of features A [N, units], not centred: the soft rank free of small singular values.

    Special values and errors as in `effective_rank`. Source: Rudelson & Vershynin 2007.
    """
    return _stable_rank(_matrix("stable_rank", features))


def _matrix(where, features):
    """Features with units along the shorter axis, of size about 1."""
    (features,) = matrices(where, features=features)
    (matrix,) = unmoved(where, features=features)
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _singular_values(matrix):
    """Descending, over the largest entry: of the triangle, whose few rows LAPACK takes in batches without waiting."""
    size = jnp.max(jnp.abs(matrix))
    scaled = matrix / jnp.where(size > 0, size, 1.0)
    basis, _ = column_space(scaled)
    return jnp.linalg.svd(jnp.matmul(basis.T, scaled, precision=_HIGHEST), compute_uv=False)


def _finite_only(matrix, value):
    return jnp.where(jnp.all(jnp.isfinite(matrix)), value, jnp.nan).astype(matrix.dtype)


@functools.partial(jax.jit, inline=True)
def _effective_rank(matrix):
    values = _singular_values(matrix)
    total = values.sum()
    share = values / jnp.where(total > 0, total, 1.0)
    entropy = -jnp.sum(jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1.0)), 0.0))
    return _finite_only(matrix, jnp.where(total > 0, jnp.exp(entropy), 0.0))


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _numerical_rank(matrix, share, power):
    powers = _singular_values(matrix) ** power
    total = powers.sum()
    below = jnp.cumsum(powers) < share * total
    # All of them never fall short of the total, whatever the rounding.
    least = jnp.minimum(jnp.sum(below) + 1, len(powers))
    return _finite_only(matrix, jnp.where(total > 0, least, 0))


@functools.partial(jax.jit, inline=True)
def _stable_rank(matrix):
    squares = _singular_values(matrix) ** 2
    return _finite_only(matrix, jnp.where(squares[0] > 0, squares.sum() / jnp.where(squares[0] > 0, squares[0], 1), 0))


def weight_magnitude(params: Tree, *, matrices_only: bool = False) -> Float[Array, ""]:
    """Mean of |theta| over all entries of a tree of parameters; `matrices_only` leaves out arrays of one axis or none.

    Raises `ValueError` for a tree without arrays (or, then, without matrices), and for one without entries.
    Source: Hernandez-Garcia et al. 2025 (all parameters); Dohare et al. 2024 (weights of matrices).
    """
    where = "weight_magnitude"
    leaves = leaves_of(where, "params", params)
    if matrices_only:
        shapes = [shape_of(leaf) for leaf in leaves]
        leaves = [leaf for leaf in leaves if len(shape_of(leaf)) > 1]
        if not leaves:
            raise ValueError(f"{where}: found arrays of shapes {shapes}, wanted a matrix among them")
    return _mean_size(tuple(_floats(leaves)))


def weight_norm(params: Tree) -> Float[Array, ""]:
    """||theta||_2 over all entries of a tree of parameters together.

    Raises `ValueError` for a tree without arrays, and for an array without entries.
    """
    return _norm(tuple(_floats(leaves_of("weight_norm", "params", params))))


def weight_distance(params: Tree, initial: Tree) -> Float[Array, ""]:
    """||theta - theta_0||_2 / ||theta_0||_2 of two trees of parameters: how far training went from where it began.

    Differences between arrays of the host are taken in float64. Infinite for a start at 0, NaN there without a
    difference. Raises `ValueError` for trees that differ in their arrays' shapes or numbers, and as `weight_norm`.
    """
    where = "weight_distance"
    leaves, first = leaves_of(where, "params", params), leaves_of(where, "initial", initial)
    if [shape_of(leaf) for leaf in leaves] != [shape_of(leaf) for leaf in first]:
        shapes = [[shape_of(leaf) for leaf in part] for part in (leaves, first)]
        raise ValueError(f"{where}: found params of shapes {shapes[0]} and initial of {shapes[1]}, wanted equal ones")
    moved = [_difference(leaf, start) for leaf, start in zip(leaves, first, strict=True)]
    return _quotient(tuple(_floats(moved)), tuple(_floats(first)))


def _difference(leaf, start):
    known = concrete(leaf), concrete(start)
    if known[0] is None or known[1] is None or (isinstance(leaf, jax.Array) and isinstance(start, jax.Array)):
        return jnp.asarray(leaf) - jnp.asarray(start)
    return known[0].astype(np.float64) - known[1].astype(np.float64)


def _floats(leaves):
    dtype = float_type(*leaves)
    return [jnp.asarray(leaf, dtype) for leaf in leaves]


@functools.partial(jax.jit, inline=True)
def _mean_size(arrays):
    return sum(jnp.sum(jnp.abs(array)) for array in arrays) / sum(array.size for array in arrays)


def _size(arrays):
    """The norm, by way of the largest entry, so that no square leaves the range of floats."""
    largest = functools.reduce(jnp.maximum, [jnp.max(jnp.abs(array)) for array in arrays])
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(array / scale)) for array in arrays))


@functools.partial(jax.jit, inline=True)
def _norm(arrays):
    return _size(arrays)


@functools.partial(jax.jit, inline=True)
def _quotient(moved, first):
    return _size(moved) / _size(first)
