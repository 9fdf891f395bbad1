"""How well a learned precision vector matches the true one."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from identax.checks import concrete, shape_of
from identax.indices import index_list
from identax.inputs import numbers
from identax.metrics._matching import correlations, match_by_rank
from identax.metrics._samples import Samples, unmoved


def precision_recovery(
    estimated: Samples,
    true: Samples,
    *,
    assignment: Samples | None = None,
) -> dict[str, Array]:
    """Relative errors of the estimated precisions, sorted and, given a matching, per latent.

    estimated [m], true [n]. Embedding dims come in any order, so the sorted comparison pairs equal ranks (from
    the largest; with m > n the smallest m - n estimates are left out):
    `max_error`, `mean_error`: max and mean over ranks of |estimated / true - 1|.
    With `assignment` [n], the embedding dim of every latent as `mcc(..., return_assignment=True)` returns it:
    `matched_max_error`, `matched_mean_error`: the same over matched pairs; `rank_alignment`: Spearman
    correlation between true and matched precisions (0 where either is constant), 1 when every dim carries the
    precision of its own latent. Matching needs m >= n, so no entry is -1.
    Raises `ValueError` for m < n, an assignment of another shape or, where it is known, of anything but dims of the
    embedding, and precisions that float32 would rob of their digits.
    Source: Rusak et al. 2025 (recovery of Lambda).
    """
    estimated, true = (numbers("precision_recovery", *pair) for pair in (("estimated", estimated), ("true", true)))
    matched = match_by_rank(estimated, true)
    estimated, true = unmoved("precision_recovery", estimated=estimated, true=true)
    if true.size == 0:
        raise ValueError("precision_recovery: found no true precisions, wanted one at least")
    if assignment is None:
        return _errors(estimated, true, matched)
    if shape_of(assignment) != shape_of(true):
        raise ValueError(
            f"precision_recovery: found an assignment of shape {shape_of(assignment)}, wanted {shape_of(true)}"
        )
    known = concrete(assignment)
    if known is not None:
        if known.dtype == bool:  # one dim per latent is no mask over dims
            raise ValueError("precision_recovery: found assignment of type bool, wanted integers")
        assignment = index_list("precision_recovery", "assignment", assignment, estimated.shape[0])
    return {**_errors(estimated, true, matched), **_matched_errors(estimated, true, assignment)}


@functools.partial(jax.jit, inline=True)
def _errors(estimated, true, matched):
    by_rank = jnp.abs(estimated[matched] / true - 1)
    return {"max_error": jnp.max(by_rank), "mean_error": jnp.mean(by_rank)}


@functools.partial(jax.jit, inline=True)
def _matched_errors(estimated, true, assignment):
    matched = estimated[assignment]
    error = jnp.abs(matched / true - 1)
    alignment = correlations(true[:, None], matched[:, None], ranked=True)[0, 0]
    return {
        "matched_max_error": jnp.max(error),
        "matched_mean_error": jnp.mean(error),
        "rank_alignment": alignment,
    }
