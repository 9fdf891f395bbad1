"""How well a learned precision vector matches the true one."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from identax.metrics._matching import Samples, as_floats, correlations, match_by_rank


def precision_recovery(
    estimated: Samples,
    true: Samples,
    *,
    assignment: Int[Array | np.ndarray, "..."] | None = None,
) -> dict[str, Array]:
    """Relative errors of the estimated precisions, sorted and, given a matching, per latent.

    estimated [m], true [n]. Embedding dims come in any order, so the sorted comparison pairs equal ranks (from
    the largest; with m > n the smallest m - n estimates are left out):
    `max_error`, `mean_error`: max and mean over ranks of |estimated / true - 1|.
    With `assignment` [n], the embedding dim of every latent as `mcc(..., return_assignment=True)` returns it:
    `matched_max_error`, `matched_mean_error`: the same over matched pairs; `rank_alignment`: Spearman
    correlation between true and matched precisions (0 where either is constant), 1 when every dim carries the
    precision of its own latent. Matching needs m >= n, so no entry is -1.
    Raises `ValueError` for m < n or an assignment of another shape.
    Source: Rusak et al. 2025 (recovery of Lambda).
    """
    estimated, true = as_floats(estimated, true)
    by_rank = jnp.abs(estimated[match_by_rank(estimated, true)] / true - 1)
    found = {"max_error": jnp.max(by_rank), "mean_error": jnp.mean(by_rank)}
    if assignment is None:
        return found
    if np.shape(assignment) != np.shape(true):
        raise ValueError(
            f"precision_recovery: found an assignment of shape {np.shape(assignment)}, wanted {np.shape(true)}"
        )
    matched = estimated[assignment]
    error = jnp.abs(matched / true - 1)
    alignment = correlations(true[:, None], matched[:, None], ranked=True)[0, 0]
    return {
        **found,
        "matched_max_error": jnp.max(error),
        "matched_mean_error": jnp.mean(error),
        "rank_alignment": alignment,
    }
