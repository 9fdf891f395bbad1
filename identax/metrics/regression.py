"""How much of the truth a linear map of the embedding explains."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from identax.checks import check_choice
from identax.metrics._matching import Samples, as_floats, check_samples, match_by_rank
from identax.numerics import column_space

SPLITS = ("half",)
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
) -> Float[Array, "..."]:
    """R^2 of the ordinary-least-squares map from `inputs` to `targets`, by default fitted and scored on all samples.

    R^2_j = 1 - SSE_j / SST_j, averaged over the target dims j (`per_dim`: the vector [n]). SST is about the
    mean of the target. Directions of the standardised inputs below 1e-6 of the largest (in float32: below
    4 m eps, if that is more) are ignored; a collapsed embedding scores 0. A constant target scores 1 if it is
    predicted exactly (with an intercept it always is), otherwise 0.
    Args: `inputs` [N, m], e.g. embeddings; `targets` [N, n], e.g. true latents; `split` "half": fitted on the first
    N // 2 samples and scored on the others (Reizinger et al. 2025), then it can be negative.
    Raises `ValueError` for unequal numbers of samples, N < 2 (with a split N < 4) and an unknown split.
    Source: Zimmermann et al. 2021, section 4 (linear identifiability); scikit-learn's `r2_score`.
    """
    check_samples("linear_r2", inputs=inputs, targets=targets)
    inputs, targets = as_floats(inputs, targets)
    if split is not None:
        check_choice("linear_r2", "split", split, SPLITS)
        r2 = r2_on_others(inputs, targets, targets.shape[0] // 2, fit_intercept=fit_intercept)
        return r2 if per_dim else jnp.mean(r2)
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
    r2 = jnp.where(all_finite(inputs, targets), _scores(residual, centred), jnp.nan)
    return r2 if per_dim else jnp.mean(r2)


def _scores(residual, centred):
    sse, sst = jnp.sum(residual**2, axis=0), jnp.sum(centred**2, axis=0)
    exact = jnp.max(jnp.abs(residual), axis=0) <= 64 * jnp.finfo(residual.dtype).eps
    return jnp.where(sst > 0, 1 - sse / jnp.where(sst > 0, sst, 1.0), exact.astype(sst.dtype))


def all_finite(*arrays: Array) -> Bool[Array, ""]:
    """Says whether all entries are finite; what is not has no score, whatever comparisons make of it."""
    return jnp.stack([jnp.all(jnp.isfinite(array)) for array in arrays]).all()


def r2_on_others(
    inputs: Float[Array, "N m"], targets: Float[Array, "N n"], num_fit: int, *, fit_intercept: bool
) -> Float[Array, " n"]:
    """R^2 per target dim of the map fitted on the first `num_fit` samples, on the others: [n].

    Raises `ValueError` unless there are at least 2 samples on either side.
    """
    if not 2 <= num_fit <= targets.shape[0] - 2:
        raise ValueError(
            f"linear_r2: found {num_fit} of {targets.shape[0]} samples to fit on, wanted at least 2 on either side"
        )
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
    return jnp.where(finite, _scores(others - predicted, _centre(others)), jnp.nan)


def block_r2(
    inputs: Samples,
    targets: Samples,
    blocks: Sequence[Sequence[int]],
    *,
    estimated_precision: Samples | None = None,
    true_precision: Samples | None = None,
    fit_intercept: bool = True,
) -> Float[Array, " B"]:
    """Mean linear R^2 of every block of target dims, e.g. content and style: [B].

    Without precisions every block is predicted from the whole embedding. With both, block b is predicted only
    from the embedding dims whose estimated precision has the ranks that the block's dims have in the true
    precision; where the map is block-orthogonal the two agree to about 1 %.
    Args: `inputs` [N, m], `targets` [N, n], the precisions [m] and [n]; `blocks`, static indices of target
    dims, one sequence per block.
    Raises `ValueError` for empty blocks, indices out of range, one precision without the other, or m < n with
    precisions.
    Source: Rusak et al. 2025 (content and style R^2).
    """
    check_samples("block_r2", inputs=inputs, targets=targets)
    inputs, targets = as_floats(inputs, targets)
    indices = [_block_indices(block, targets.shape[1]) for block in blocks]
    if not indices:
        raise ValueError("block_r2: found no blocks, wanted at least one")
    if (estimated_precision is None) != (true_precision is None):
        raise ValueError("block_r2: found one of estimated_precision and true_precision, wanted both or none")
    if estimated_precision is None or true_precision is None:
        scores = linear_r2(inputs, targets, fit_intercept=fit_intercept, per_dim=True)
        return jnp.stack([jnp.mean(scores[index]) for index in indices])
    matched = inputs[:, match_by_rank(estimated_precision, true_precision)]
    return jnp.stack(
        [linear_r2(matched[:, index], targets[:, index], fit_intercept=fit_intercept) for index in indices]
    )


def _block_indices(block: Sequence[int], dim: int) -> Int[np.ndarray, " k"]:
    index = np.asarray(block, dtype=int).reshape(-1)
    if index.size == 0 or index.min() < 0 or index.max() >= dim:
        raise ValueError(f"block_r2: found block {list(index)}, wanted indices between 0 and {dim - 1}")
    return index
