"""Mean correlation coefficients: are single latents recovered by single embedding dims?"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_choice
from identax.metrics._matching import best_assignment, correlations, match_by_rank, matched_mean
from identax.metrics._samples import Samples, apart, matrices, warn_of_few, warn_of_unmatched

_METHODS = ("pearson", "spearman")


@functools.partial(jax.jit, static_argnames="ranked", inline=True)
def best_match(latents, estimates, *, ranked=False):
    """`mcc` of floats [N, n], [N, m] without checks, and the assignment."""
    scores = jnp.abs(correlations(latents, estimates, ranked=ranked))
    assignment = best_assignment(scores)
    return matched_mean(scores, assignment), assignment


@functools.partial(jax.jit, static_argnames="ranked", inline=True)
def _given_match(latents, estimates, matched, *, ranked):
    return matched_mean(jnp.abs(correlations(latents, estimates, ranked=ranked)), matched.astype(jnp.int32))


def mcc(
    latents: Samples,
    estimates: Samples,
    *,
    method: str = "pearson",
    return_assignment: bool = False,
) -> Any:
    """Mean correlation coefficient under the best one-to-one matching of latents and estimates.

    max over matchings pi of mean_i |corr(latents_i, estimates_pi(i))|, latents [N, n], estimates [N, m]; the
    mean is over the min(n, m) matched pairs (a warning says so where n and m differ and values are known).
    Invariant to permutation, sign and scale of the estimates; `"spearman"` (ranks, ties averaged) also to
    strictly monotone maps of every dim. A constant dim has correlation 0; non-finite input gives NaN.
    `return_assignment`: also the matched estimate of every latent, [n] int, -1 where a latent stays unmatched.
    Jittable; the matching is the Hungarian algorithm.
    Raises `ValueError` for unequal numbers of samples, N < 2 or an unknown method.
    Source: Hyvarinen & Morioka 2016; Zimmermann et al. 2021, section 4.
    """
    check_choice("mcc", "method", method, _METHODS)
    latents, estimates = matrices("mcc", latents=latents, estimates=estimates)
    warn_of_few("mcc", latents=latents, estimates=estimates)
    warn_of_unmatched("mcc", latents, estimates)
    ranked = method == "spearman"
    latents, estimates = apart("mcc", ranked=ranked, latents=latents, estimates=estimates)
    score, assignment = best_match(latents, estimates, ranked=ranked)
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
    check_choice("rank_matched_mcc", "method", method, _METHODS)
    latents, estimates = matrices("rank_matched_mcc", latents=latents, estimates=estimates)
    matched = match_by_rank(estimated_precision, true_precision)
    warn_of_few("rank_matched_mcc", latents=latents, estimates=estimates)
    ranked = method == "spearman"
    latents, estimates = apart("rank_matched_mcc", ranked=ranked, latents=latents, estimates=estimates)
    return _given_match(latents, estimates, matched, ranked=ranked)
