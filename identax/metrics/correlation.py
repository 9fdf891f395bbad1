"""Mean correlation coefficients: are single latents recovered by single embedding dims?"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_choice
from identax.metrics._matching import (
    Samples,
    as_floats,
    best_assignment,
    check_samples,
    correlations,
    match_by_rank,
    matched_mean,
)

_METHODS = ("pearson", "spearman")


def _absolute_correlations(where, latents, estimates, method):
    check_choice(where, "method", method, _METHODS)
    check_samples(where, latents=latents, estimates=estimates)
    latents, estimates = as_floats(latents, estimates)
    return jnp.abs(correlations(latents, estimates, ranked=method == "spearman"))


def mcc(
    latents: Samples,
    estimates: Samples,
    *,
    method: str = "pearson",
    return_assignment: bool = False,
) -> Any:
    """Mean correlation coefficient under the best one-to-one matching of latents and estimates.

    max over matchings pi of mean_i |corr(latents_i, estimates_pi(i))|, latents [N, n], estimates [N, m]; the
    mean is over the min(n, m) matched pairs.
    Invariant to permutation, sign and scale of the estimates; `"spearman"` (ranks, ties averaged) also to
    strictly monotone maps of every dim. A constant dim has correlation 0; non-finite input gives NaN.
    `return_assignment`: also the matched estimate of every latent, [n] int, -1 where a latent stays unmatched.
    Jittable; the matching is the Hungarian algorithm.
    Raises `ValueError` for unequal numbers of samples, N < 2 or an unknown method.
    Source: Hyvarinen & Morioka 2016; Zimmermann et al. 2021, section 4.
    """
    scores = _absolute_correlations("mcc", latents, estimates, method)
    assignment = best_assignment(scores)
    score = matched_mean(scores, assignment)
    return (score, assignment) if return_assignment else score


def rank_matched_mcc(
    latents: Samples,
    estimates: Samples,
    estimated_precision: Samples,
    true_precision: Samples,
    *,
    method: str = "pearson",
) -> Float[Array, ""]:
    """Mean |correlation| when latents and estimates are paired by the rank of their precisions.

    No search over matchings: where all true precisions differ and the theorem holds it equals `mcc`, otherwise
    it is smaller. With m > n the estimates of smallest precision are left out.
    Raises `ValueError` as `mcc`, and for m < n.
    Source: Rusak et al. 2025 (distinct precisions identify up to permutation).
    """
    scores = _absolute_correlations("rank_matched_mcc", latents, estimates, method)
    matched = match_by_rank(estimated_precision, true_precision)
    return matched_mean(scores, matched.astype(jnp.int32))
