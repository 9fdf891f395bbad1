"""Matching of latents with embedding dims, shared by the metrics."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from identax.checks import shape_of
from identax.inputs import numbers, ranks
from identax.metrics._samples import Samples


# Functions that are called outside compiled programs too are compiled once, here, and melt into a program around them.
@functools.partial(jax.jit, inline=True)
def best_assignment(scores: Float[Array, "n m"]) -> Int[Array, " n"]:
    """Returns the column of every row in the one-to-one assignment of largest total score; -1 if unmatched.

    Non-finite scores count as 0: with them the Hungarian loop would not end, for no trial of the batch.
    """
    cost = jnp.where(jnp.isfinite(scores), -scores, 0.0)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return jnp.full(scores.shape[0], -1, jnp.int32).at[rows].set(columns.astype(jnp.int32))


def matched_mean(scores: Float[Array, "n m"], assignment: Int[Array, " n"]) -> Float[Array, ""]:
    """Returns the mean score of the matched pairs; NaN if any score is not finite."""
    matched = assignment >= 0
    picked = jnp.take_along_axis(scores, jnp.maximum(assignment, 0)[:, None], axis=1)[:, 0]
    mean = jnp.sum(jnp.where(matched, picked, 0.0)) / jnp.sum(matched)
    return jnp.where(jnp.all(jnp.isfinite(scores)), mean, jnp.nan)


def match_by_rank(estimated: Samples, true: Samples) -> Int[Array, " n"]:
    """Returns, per latent, the embedding dim whose estimated precision has the rank that its true one has.

    Ranks count from the largest, so with m > n the smallest m - n estimates stay unmatched.
    Raises `ValueError` for m < n.
    """
    if len(shape_of(estimated)) != 1 or len(shape_of(true)) != 1 or shape_of(estimated)[0] < shape_of(true)[0]:
        raise ValueError(
            f"match_by_rank: found {shape_of(estimated)} estimated and {shape_of(true)} true precisions, "
            "wanted vectors with at least as many estimated ones"
        )
    estimated, true = (_order(name, value) for name, value in (("estimated", estimated), ("true", true)))
    return _match(estimated, true)


def _order(name: str, precisions: Samples):
    return ranks("match_by_rank", name, numbers("match_by_rank", name, precisions)[:, None])[:, 0]


@functools.partial(jax.jit, inline=True)
def _match(estimated, true):
    largest_true = jnp.argsort(-true)
    largest_estimated = jnp.argsort(-estimated)[: true.shape[0]]
    return jnp.zeros(true.shape[0], largest_estimated.dtype).at[largest_true].set(largest_estimated)


def average_ranks(x: Float[Array, " N"]) -> Float[Array, " N"]:
    """Returns the ranks 1..N of the entries, equal entries sharing the mean of their ranks."""
    ordered = jnp.sort(x)
    below = jnp.searchsorted(ordered, x, side="left")
    up_to = jnp.searchsorted(ordered, x, side="right")
    return (below + up_to + 1).astype(x.dtype) / 2


def correlations(latents: Float[Array, "N n"], estimates: Float[Array, "N m"], *, ranked: bool) -> Float[Array, "n m"]:
    """Returns the correlation of every latent with every estimate.

    It is 0 where either is constant, and all NaN if any input is not finite.
    """
    finite = jnp.all(jnp.isfinite(latents)) & jnp.all(jnp.isfinite(estimates))
    if ranked:
        rank = jax.vmap(average_ranks, in_axes=1, out_axes=1)
        latents, estimates = rank(latents), rank(estimates)
    product = jnp.matmul(_unit(latents).T, _unit(estimates), precision=jax.lax.Precision.HIGHEST)
    return jnp.where(finite, jnp.clip(product, -1.0, 1.0), jnp.nan)


def _unit(x):
    """Returns the columns centred and of norm 1; a constant column becomes 0."""
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    size = jnp.max(jnp.abs(centred), axis=0, keepdims=True)
    varies = size > 4 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), axis=0, keepdims=True)
    centred = jnp.where(varies, centred / jnp.where(varies, size, 1.0), 0.0)
    norm = jnp.sqrt(jnp.sum(centred**2, axis=0, keepdims=True))
    return centred / jnp.where(varies, norm, 1.0)
