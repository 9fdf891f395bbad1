"""How much of the truth a linear map of the embedding explains."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from identax.checks import check_choice
from identax.indices import index_list
from identax.metrics._matching import match_by_rank
from identax.metrics._samples import Samples, apart, matrices, unmoved, warn_of_few
from identax.numerics import column_space

SPLITS = ("half",)
CONSTANTS = ("zero", "exact")
_HIGHEST = jax.lax.Precision.HIGHEST


def _centre(x):
    """Returns x minus its column means; columns that are constant up to rounding become exactly 0."""
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    constant = _max_abs(centred) <= 4 * jnp.finfo(x.dtype).eps * _max_abs(x)
    return jnp.where(constant, 0.0, centred)


def _max_abs(x):
    return jnp.max(jnp.abs(x), axis=0, keepdims=True)


def least_squares(x: Float[Array, "N m"], y: Float[Array, "N n"]) -> Float[Array, "m n"]:
    """Coefficients of the least-squares map x -> y through the origin; directions as in `linear_r2` are ignored."""
    basis, combined = column_space(x)
    scale = _max_abs(y)
    scale = jnp.where(scale > 0, scale, 1.0)
    along = jnp.matmul(basis.T, y / scale, precision=_HIGHEST)
    return jnp.matmul(combined, along, precision=_HIGHEST) * scale


def linear_r2(
    inputs: Samples,
    targets: Samples,
    *,
    fit_intercept: bool = True,
    per_dim: bool = False,
    split: str | None = None,
    constant: str = "zero",
) -> Float[Array, "..."]:
    """R^2 of the ordinary-least-squares map from `inputs` to `targets`, by default fitted and scored on all samples.

    R^2_j = 1 - SSE_j / SST_j, averaged over the target dims j (`per_dim`: the vector [n]). SST is about the
    mean of the target. Directions of the standardised inputs below 1e-6 of the largest (in float32: below
    4 m eps, if that is more) are ignored; a collapsed embedding scores 0. A constant target, a dead latent, scores 0
    (`constant` "zero"), or 1 where it is predicted exactly, as with an intercept it always is ("exact").
    Args: `inputs` [N, m], e.g. embeddings; `targets` [N, n], e.g. true latents; `split` "half": fitted on the first
    N // 2 samples and scored on the others (Reizinger et al. 2025), then it can be negative.
    Raises `ValueError` for unequal numbers of samples, N < 2 (with a split N < 4) and an unknown split.
    Source: Zimmermann et al. 2021, section 4 (linear identifiability); scikit-learn's `r2_score`.
    """
    check_choice("linear_r2", "constant", constant, CONSTANTS)
    if split is not None:
        check_choice("linear_r2", "split", split, SPLITS)
    inputs, targets = matrices("linear_r2", inputs=inputs, targets=targets)
    num_fit = None if split is None else targets.shape[0] // 2
    if num_fit is not None:
        check_sides("linear_r2", num_fit, targets.shape[0])
    fits = inputs.shape[1] + fit_intercept if split is None else 0
    warn_of_few("linear_r2", fits=fits, inputs=inputs, targets=targets)
    inputs, targets = _floats("linear_r2", inputs, targets, fit_intercept)
    return _fitted_r2(inputs, targets, num_fit, fit_intercept, per_dim, constant)


def _floats(where: str, inputs: Samples, targets: Samples, fit_intercept: bool):
    """The arrays as floats: only with an intercept R^2 is free of shifts."""
    return (apart if fit_intercept else unmoved)(where, inputs=inputs, targets=targets)


def fitted_r2(inputs, targets, num_fit: int | None = None, *, fit_intercept: bool = True, per_dim: bool = False):
    """`linear_r2` of floats without checks: fitted on the first `num_fit` samples, or on all."""
    return _fitted_r2(inputs, targets, num_fit, fit_intercept, per_dim, "zero")


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5), inline=True)
def _fitted_r2(inputs, targets, num_fit, fit_intercept, per_dim, constant):
    if num_fit is None:
        r2 = _r2(inputs, targets, fit_intercept, constant)
    else:
        r2 = _r2_on_others(inputs, targets, num_fit, fit_intercept, constant)
    return r2 if per_dim else jnp.mean(r2)


def _r2(inputs, targets, fit_intercept, constant):
    centred = _centre(targets)
    if fit_intercept:
        (basis, _), fitted = column_space(_centre(inputs)), centred
    else:
        (basis, _), fitted = column_space(inputs), targets
    # Targets of size one: squares of very small or large ones would leave the range of float32.
    scale = _max_abs(fitted)
    scale = jnp.where(scale > 0, scale, 1.0)
    fitted, centred = fitted / scale, centred / scale
    residual = fitted - jnp.matmul(basis, jnp.matmul(basis.T, fitted, precision=_HIGHEST), precision=_HIGHEST)
    return jnp.where(all_finite(inputs, targets), _scores(residual, centred, constant), jnp.nan)


def _scores(residual, centred, constant):
    sse, sst = jnp.sum(residual**2, axis=0), jnp.sum(centred**2, axis=0)
    exact = jnp.max(jnp.abs(residual), axis=0) <= 64 * jnp.finfo(residual.dtype).eps
    dead = exact.astype(sst.dtype) if constant == "exact" else jnp.zeros_like(sst)
    return jnp.where(sst > 0, 1 - sse / jnp.where(sst > 0, sst, 1.0), dead)


def all_finite(*arrays: Array) -> Bool[Array, ""]:
    """Says whether all entries are finite; what is not has no score, whatever comparisons make of it."""
    return jnp.stack([jnp.all(jnp.isfinite(array)) for array in arrays]).all()


def check_sides(where: str, num_fit: int, num: int) -> None:
    """Raises `ValueError` unless there are at least 2 samples on either side of a split."""
    if not 2 <= num_fit <= num - 2:
        raise ValueError(f"{where}: found {num_fit} of {num} samples to fit on, wanted at least 2 on either side")


def _r2_on_others(inputs, targets, num_fit: int, fit_intercept: bool, constant: str) -> Float[Array, " n"]:
    """R^2 per target dim of the map fitted on the first `num_fit` samples, on the others: [n]."""
    finite = all_finite(inputs, targets)
    scale = _max_abs(targets)
    targets = targets / jnp.where(scale > 0, scale, 1.0)
    x, y = inputs[:num_fit], targets[:num_fit]
    if fit_intercept:
        offset, mean = jnp.mean(x, axis=0, keepdims=True), jnp.mean(y, axis=0, keepdims=True)
        x, y = _centre(x), _centre(y)
    else:
        offset, mean = jnp.zeros_like(x[:1]), jnp.zeros_like(y[:1])
    predicted = mean + jnp.matmul(inputs[num_fit:] - offset, least_squares(x, y), precision=_HIGHEST)
    others = targets[num_fit:]
    return jnp.where(finite, _scores(others - predicted, _centre(others), constant), jnp.nan)


def block_r2(
    inputs: Samples,
    targets: Samples,
    blocks: Sequence[Any],
    *,
    estimated_precision: Samples | None = None,
    true_precision: Samples | None = None,
    fit_intercept: bool = True,
    constant: str = "zero",
) -> Float[Array, " B"]:
    """Mean linear R^2 of every block of target dims, e.g. content and style: [B].

    Without precisions every block is predicted from the whole embedding. With both, block b is predicted only
    from the embedding dims whose estimated precision has the ranks that the block's dims have in the true
    precision; where the map is block-orthogonal the two agree to about 1 %.
    Args: `inputs` [N, m], `targets` [N, n], the precisions [m] and [n]; `blocks`, static indices of target
    dims or a mask over them, one per block; `constant` as in `linear_r2`.
    Raises `ValueError` for empty blocks, indices out of range or that are no integers, one precision without the
    other, or m < n with precisions.
    Source: Rusak et al. 2025 (content and style R^2).
    """
    check_choice("block_r2", "constant", constant, CONSTANTS)
    restricted = estimated_precision is not None and true_precision is not None
    inputs, targets = matrices("block_r2", inputs=inputs, targets=targets)
    indices = tuple(tuple(index_list("block_r2", "block", block, targets.shape[1]).tolist()) for block in blocks)
    if not indices:
        raise ValueError("block_r2: found no blocks, wanted at least one")
    if (estimated_precision is None) != (true_precision is None):
        raise ValueError("block_r2: found one of estimated_precision and true_precision, wanted both or none")
    warn_of_few("block_r2", fits=inputs.shape[1] + fit_intercept, inputs=inputs, targets=targets)
    inputs, targets = _floats("block_r2", inputs, targets, fit_intercept)
    if not restricted:
        return _means_of_blocks(inputs, targets, indices, fit_intercept, constant)
    matched = match_by_rank(estimated_precision, true_precision)
    return _restricted_blocks(inputs, targets, matched, indices, fit_intercept, constant)


@functools.partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def _means_of_blocks(inputs, targets, blocks, fit_intercept, constant):
    scores = _r2(inputs, targets, fit_intercept, constant)
    return jnp.stack([jnp.mean(scores[np.array(block)]) for block in blocks])


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _restricted_blocks(inputs, targets, matched, blocks, fit_intercept, constant):
    chosen = inputs[:, matched]
    blocks = [np.array(block) for block in blocks]
    return jnp.stack([jnp.mean(_r2(chosen[:, block], targets[:, block], fit_intercept, constant)) for block in blocks])
