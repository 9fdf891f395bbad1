"""Mutual information of every factor with every dim of a representation, from histograms with static bins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.checks import concrete
from identax.inputs import centred, float_type, numbers
from identax.metrics._samples import Samples
from identax.metrics.disentanglement._inputs import (
    entropy_of_shares,
    factor_levels,
    is_discrete,
    only_finite,
    read_factors,
    read_pair,
)

NUM_BINS = 20
"""of the evaluation of Locatello et al. 2019"""


def discretise(x: Samples, num_bins: int = NUM_BINS) -> Int[Array, "N m"]:
    """Numbers 0..num_bins-1 of equally wide bins between minimum and maximum of every column.

    Bins are closed at their lower edge, the last one at both, as NumPy's `histogram` has them. A value that equals an
    edge up to rounding is in the bin above it. All of a constant column is in one bin. Shift and scale do not matter.
    Raises `ValueError` unless `x` is [N, m] and num_bins >= 2.
    Source: Locatello et al. 2019, appendix C (20 bins).
    """
    x = numbers("discretise", "x", x)
    if x.ndim != 2 or 0 in x.shape or num_bins < 2:
        raise ValueError(f"discretise: found shape {x.shape}, num_bins={num_bins}, wanted [N, m] and num_bins >= 2")
    known = concrete(x)
    if known is not None and not isinstance(x, jax.Array):
        return jnp.asarray(_bins_on_host(known, num_bins), jnp.int32)
    return _bins(centred("discretise", x=x)[0], num_bins)


def _bins_on_host(x: np.ndarray, num_bins: int) -> Int[np.ndarray, "N m"]:
    """`_bins` where the values have all their digits."""
    eps = float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.floating) else 0.0
    (moved,) = centred("discretise", dtype=np.float64, x=x)
    low, high = moved.min(axis=0), moved.max(axis=0)
    slack = 4 * np.maximum(eps * np.abs(x.astype(float)).max(axis=0), np.finfo(float).eps * (high - low))
    edges = (low - slack)[:, None] + ((high - low) / num_bins)[:, None] * np.arange(1, num_bins)
    columns = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges, moved.T, strict=True)]
    return np.stack(columns, axis=1)


@functools.partial(jax.jit, static_argnames="num_bins")
def _bins(x: Float[Array, "N m"], num_bins: int) -> Int[Array, "N m"]:
    low, high = jnp.min(x, axis=0, keepdims=True), jnp.max(x, axis=0, keepdims=True)
    step = (high - low) / num_bins
    # Compilers reorder the arithmetic of edges; without the slack integers would change bins between programs.
    slack = 4 * jnp.finfo(x.dtype).eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
    edges = (low - slack)[..., None] + step[..., None] * jnp.arange(1, num_bins, dtype=x.dtype)[None, None, :]
    return jnp.sum(x[..., None] >= edges, axis=-1, dtype=jnp.int32)


def mutual_information(
    factors: Samples, estimates: Samples, *, num_bins: int = NUM_BINS, num_levels: int | None = None
) -> Float[Array, "K m"]:
    """Mutual information of every factor with every estimate, in nats: [K, m].

        I_kj = sum_{a,b} p_kj(a, b) log(p_kj(a, b) / (p_k(a) p_j(b))),   p: shares of the samples

    Integer factors are levels; floating ones, and all estimates, are put into `num_bins` bins (`discretise`).
    Args: `factors` [N, K], `estimates` [N, m]; `num_levels`: integer factors are in 0..num_levels-1. Needed inside
    compiled programs only (as a static argument); without it the values of a factor are numbered in their order.
    Raises `ValueError` for shapes that do not fit, values that are not finite, constant factors, factors outside their
    levels; inside compiled programs what is not finite gives NaN.
    Source: the plug-in estimator, as in Locatello et al. 2019, appendix C.
    """
    factors, estimates = read_pair("mutual_information", factors, estimates)
    return information_of_pair("mutual_information", factors, estimates, num_bins, num_levels)


def information_of_pair(
    where: str, factors: Samples, estimates: Samples, num_bins: int, num_levels: int | None
) -> Float[Array, "K m"]:
    """`mutual_information` of a pair that is read already."""
    rows, num_rows = _levels(where, factors, num_bins, num_levels)
    dtype = float_type(factors, estimates)
    found = information_of_levels(rows, num_rows, discretise(estimates, num_bins), num_bins, dtype)
    return only_finite(found, factors, estimates)


def entropies(factors: Samples, *, num_bins: int = NUM_BINS, num_levels: int | None = None) -> Float[Array, " K"]:
    """Entropy of every factor, in nats: H_k = -sum_a p_k(a) log p_k(a), levels as in `mutual_information`: [K].

    Raises `ValueError` as `mutual_information`.
    """
    factors = read_factors("entropies", factors)
    levels, num = _levels("entropies", factors, num_bins, num_levels)
    return only_finite(_entropies(levels, num, float_type(factors)), factors)


def normalised_information(
    where: str, factors: Samples, estimates: Samples, num_bins: int, num_levels: int | None
) -> Float[Array, "K m"]:
    """I_kj / H_k, between 0 and 1; NaN for a factor that is constant."""
    information = information_of_pair(where, factors, estimates, num_bins, num_levels)
    entropy = entropies(factors, num_bins=num_bins, num_levels=num_levels)
    return jnp.where(entropy[:, None] > 0, information / entropy[:, None], jnp.nan)


@functools.partial(jax.jit, static_argnames=("num_rows", "num_columns", "dtype"))
def information_of_levels(
    rows: Int[Array, "N K"], num_rows: int, columns: Int[Array, "N m"], num_columns: int, dtype=jnp.float32
) -> Float[Array, "K m"]:
    """Mutual information of levels 0..num_rows-1 with levels 0..num_columns-1: [K, m]."""
    first = jax.nn.one_hot(rows, num_rows, dtype=dtype)
    second = jax.nn.one_hot(columns, num_columns, dtype=dtype)
    # Counts are exact below 2^24 samples. A matrix product: scatters are slow on accelerators.
    counts = jnp.einsum("nka,njb->kjab", first, second, precision=jax.lax.Precision.HIGHEST)
    of_row, of_column = jnp.sum(counts[:, :1], axis=-1, keepdims=True), jnp.sum(counts[:1], axis=-2, keepdims=True)
    expected = of_row * (of_column / rows.shape[0])
    ratios = jnp.where(counts > 0, counts / jnp.where(counts > 0, expected, 1.0), 1.0)
    found = jnp.sum(counts / rows.shape[0] * jnp.log(ratios), axis=(-2, -1))
    # What is left of independent counts is rounding, and scores that divide informations would see it.
    return jnp.where(found > 32 * jnp.finfo(dtype).eps, found, 0.0)


@functools.partial(jax.jit, static_argnames=("num", "dtype"))
def _entropies(levels: Int[Array, "N K"], num: int, dtype) -> Float[Array, " K"]:
    return entropy_of_shares(jnp.mean(jax.nn.one_hot(levels, num, dtype=dtype), axis=0))


def _levels(where: str, factors: Samples, num_bins: int, num_levels: int | None):
    if is_discrete(factors):
        return factor_levels(where, factors, num_levels)
    return discretise(factors, num_bins), num_bins
