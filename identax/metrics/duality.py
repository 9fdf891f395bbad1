"""Recovery of nonstationary sources: up to a pointwise statistic, and in both readings of what varies.

Sources s = sigma_u(b) of a fixed base b under a fixed mixing (the cause varies over segments u) are b under a mixing
that varies (the mechanism does). What contrastive learning finds is q(s); b follows inside each segment only.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_choice
from identax.inputs import numbers
from identax.metrics._matching import average_ranks, correlations
from identax.metrics._samples import (
    Samples,
    apart,
    check_samples,
    matrices,
    unmoved,
    warn_of_few,
    warn_of_unmatched,
)
from identax.metrics.correlation import best_match
from identax.metrics.fast_ica import compiled_fast_ica
from identax.metrics.grouped_correlation import check_environments

STATISTICS = ("absolute", "square", "none")
METHODS = ("pearson", "spearman")


class DualityScores(NamedTuple):
    """What estimates know of q(s), and of q(b).

    `modulated`: pooled MCC with q(s). `base`: pooled MCC with q(b). `within_mean`, `within_median`: over segments and
    latents, of |corr| with q(b) inside a segment. `rank_normalised`: pooled MCC with q(b) of estimates that are given
    its law inside every segment.
    """

    modulated: Any
    base: Any
    within_mean: Any
    within_median: Any
    rank_normalised: Any


def ica_mcc(
    latents: Samples,
    features: Samples,
    *,
    statistic: str = "absolute",
    method: str = "pearson",
    key: Key[Array, ""] | None = None,
) -> Float[Array, ""]:
    """MCC of q(latents) with the features after `fast_ica`: are features affine in q(s)?

        max over matchings pi of mean_i |corr(q(s_i), ica(h)_pi(i))|,    q(s) = |s|, s^2 or s

    by `statistic` "absolute" (Laplace sources), "square" (Gaussian ones) or "none". Features of a rank below their
    number, which FastICA does not take, are matched as they are: what is collapsed scores 0.
    Args: `latents` [N, n], `features` [N, m]; `key` draws FastICA's start (without one, the same every time). Jittable.
    Raises `ValueError` as `mcc`, for an unknown statistic, and latents that float32 would rob of their digits where
    q depends on their offset. Source: Hyvarinen and Morioka 2016, section 5.
    """
    check_choice("ica_mcc", "statistic", statistic, STATISTICS)
    check_choice("ica_mcc", "method", method, METHODS)
    latents, features = matrices("ica_mcc", latents=latents, features=features)
    warn_of_few("ica_mcc", latents=latents, features=features)
    warn_of_unmatched("ica_mcc", latents, features)
    (latents,) = (apart if statistic == "none" else unmoved)("ica_mcc", latents=latents)
    (features,) = apart("ica_mcc", features=features)
    key = jax.random.key(0) if key is None else key
    return _ica_mcc(latents, features.astype(latents.dtype), key, statistic, method == "spearman")


def duality_scores(
    modulated: Samples, base: Samples, estimates: Samples, *, statistic: str = "absolute"
) -> DualityScores:
    """How well estimates know the modulated sources s, and their base b, over all samples and inside segments.

    Estimates and latents are matched once, by the pooled correlation with q(s), in the sign of that correlation.
    `rank_normalised` replaces an estimate of rank r among its segment's P samples by the (r - 1/2)/P quantile of q(b)
    over all samples: what undoes any monotone sigma_u inside a segment.
    Args: `modulated`, `base` [K, P, n], `estimates` [K, P, m] with m >= n (for TCL features after `fast_ica`), K
    segments of P samples; `statistic` as in `ica_mcc`. Jittable.
    Raises `ValueError` for shapes that do not fit, an unknown statistic, and latents that float32 would rob of their
    digits. Source: the duality of time-contrastive learning, Reizinger et al. 2025.
    """
    where = "duality_scores"
    check_choice(where, "statistic", statistic, STATISTICS)
    given = {"modulated": modulated, "base": base, "estimates": estimates}
    found = {name: numbers(where, name, value) for name, value in given.items()}
    check_environments(where, **found)
    sizes = [found[name].shape[2] for name in given]
    if sizes[0] != sizes[1] or sizes[2] < sizes[0]:
        raise ValueError(f"{where}: found {sizes} modulated, base and estimated dims, wanted n, n and at least n")
    latents = unmoved(where, modulated=found["modulated"], base=found["base"])
    segments, length, width = found["estimates"].shape
    (flat,) = apart(where, estimates=found["estimates"].reshape(-1, width))
    check_samples(where, estimates=flat)
    return _duality(*latents, flat.reshape(segments, length, width), statistic)


def pointwise(s: Array, statistic: str) -> Array:
    """q(s) of an entry of `STATISTICS`: |s|, s^2 or s."""
    return {"absolute": jnp.abs, "square": jnp.square, "none": lambda x: x}[statistic](s)


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _ica_mcc(latents, features, key, statistic, ranked):
    found = compiled_fast_ica(features, key)
    separated = jnp.where(jnp.all(jnp.isfinite(found)), found, features)
    return best_match(pointwise(latents, statistic), separated, ranked=ranked)[0]


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _duality(modulated, base, estimates, statistic) -> DualityScores:
    n = modulated.shape[2]
    modulated, base = pointwise(modulated, statistic), pointwise(base, statistic)
    flat, flat_base, all_estimates = (x.reshape(-1, x.shape[2]) for x in (modulated, base, estimates))
    pooled, matched = best_match(flat, all_estimates)
    matched = jnp.maximum(matched, 0)
    signs = jnp.sign(correlations(flat, all_estimates, ranked=False)[jnp.arange(n), matched])
    picked = estimates[:, :, matched] * signs[None, None, :]
    within = jax.vmap(lambda b, e: jnp.abs(_matched_correlations(b, e)))(base, picked)
    scores = jnp.abs(_matched_correlations(flat_base, picked.reshape(-1, n)))
    shares = jax.vmap(jax.vmap(average_ranks, in_axes=1, out_axes=1))(picked) / estimates.shape[1]
    shares = shares - 0.5 / estimates.shape[1]
    law = jax.vmap(_quantiles, in_axes=(1, 1), out_axes=1)(flat_base, shares.reshape(-1, n))
    constant = jnp.ptp(picked, axis=1, keepdims=True) == 0
    law = jnp.where(constant, 0.0, law.reshape(picked.shape)).reshape(-1, n)
    normalised = jnp.abs(_matched_correlations(flat_base, law)).mean()
    normalised = jnp.where(jnp.isnan(pooled), jnp.nan, normalised)  # ranks of NaN are numbers
    return DualityScores(pooled, scores.mean(), within.mean(), jnp.median(within), normalised)


def _matched_correlations(latents, estimates):
    return jnp.diagonal(correlations(latents, estimates, ranked=False))


def _quantiles(values, shares):
    """Quantiles of the values [N] at shares: order statistic k is the (k - 1/2)/N quantile, linear in between."""
    places = shares * len(values) - 0.5
    return jnp.interp(places, jnp.arange(len(values), dtype=values.dtype), jnp.sort(values))
