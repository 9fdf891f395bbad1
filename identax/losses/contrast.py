"""Contrast: which rows are compared with which, one shared log-sum-exp for every similarity."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice, check_nonnegative, concrete, shape_of
from identax.losses import blocked, dense
from identax.losses._checks import (
    BlockSize,
    Embeddings,
    Scalar,
    as_differences,
    as_floats,
    as_number,
    check_block_size,
    check_pairs,
)
from identax.losses.dense import scaled
from identax.losses.similarity import Similarity

SCHEMES = ("two_view", "two_view_as_published", "one_view", "one_view_with_self")

Recipe = tuple[Callable[..., Similarity], tuple[Any, ...]]
"""a function of arrays to a similarity, the same object whenever it means the same, and the arrays"""
Halves = tuple[Array, ...]
"""one array [N] for the first view's anchors, and in the two-view schemes another for the second's"""


class Contrast(NamedTuple):
    """How rows are compared: the options that all losses of the family share, see `infonce`."""

    scheme: str = "two_view"
    negatives: Embeddings | None = None
    block_size: BlockSize = None
    reweighting: Scalar = 0.0


def check_contrast(where: str, z: Embeddings, z_pos: Embeddings, contrast: Contrast) -> None:
    """Raises `ValueError` for unknown schemes, wrong shapes or blocks, and batches without any negative."""
    check_choice(where, "scheme", contrast.scheme, SCHEMES)
    check_pairs(where, z, z_pos)
    check_nonnegative(where, "reweighting", contrast.reweighting, ())
    num, dim = shape_of(z)
    check_block_size(where, contrast.block_size, num)
    negatives = contrast.negatives
    if negatives is None:
        if num == 1:
            raise ValueError(
                f"{where}: found N=1, wanted N >= 2: with scheme {contrast.scheme!r} the negatives are the other rows"
            )
        return
    if len(shape_of(negatives)) != 3 or shape_of(negatives)[::2] != (num, dim) or shape_of(negatives)[1] == 0:
        raise ValueError(
            f"{where}: found negatives of shape {shape_of(negatives)}, wanted [N, M, n] = ({num}, M >= 1, {dim})"
        )
    if contrast.block_size is not None:
        raise ValueError(
            f"{where}: found block_size={contrast.block_size} with negatives of shape {shape_of(negatives)}, wanted "
            "one of them: blocks cut the batch's own N x N pairs, which given negatives do not have"
        )


def per_anchor(where: str, recipe: Recipe, z: Embeddings, z_pos: Embeddings, contrast: Contrast) -> Float[Array, " B"]:
    """Computes -s_pos + logsumexp({s_pos} U negatives) per anchor.

    2N values (first-view anchors, then second-view anchors) in the two-view schemes, otherwise N. The positive is
    always taken from `similarity.pair`, so that cancellation in the matrix form cannot push a value below 0.
    """
    make, operands = recipe
    given = {} if contrast.negatives is None else {"negatives": contrast.negatives}
    z, z_pos, *negatives = as_embeddings(where, z=z, z_pos=z_pos, **given)
    return _per_anchor(make, static(contrast), operands, (z, z_pos, *negatives), weight(where, contrast))


def as_embeddings(where: str, **arrays: Any) -> list[Array]:
    """Rows as floats; where the similarity is of differences an offset that costs digits is taken off."""
    return (as_floats if where == "infonce" else as_differences)(where, **arrays)


def static(contrast: Contrast) -> Contrast:
    """The contrast without its arrays: what a program is compiled for."""
    size = contrast.block_size
    return Contrast(contrast.scheme, None, None if size is None else int(size), 0.0)  # pyright: ignore[reportArgumentType]


def weight(where: str, contrast: Contrast) -> Any:
    """The reweighting, None where it is known to be 0 and nothing is to be computed for it."""
    beta = contrast.reweighting
    return None if concrete(beta) == 0 else as_number(where, "reweighting", beta)


@partial(jax.jit, static_argnums=(0, 1), inline=True)
def _per_anchor(make, contrast, operands, embeddings, reweighting):
    similarity = make(*operands)
    z, z_pos = embeddings[:2]
    if len(embeddings) > 2:
        logits = similarity.pair(z[:, None, :], embeddings[2])
        sums, count = partial(_given, logits), logits.shape[1]
    else:
        sums, count = partial(_in_batch, similarity, z, z_pos, contrast), num_negatives(contrast.scheme, z.shape[0])
    return jnp.concatenate(combine(similarity.pair(z, z_pos), sums, count, reweighting))


def combine(positive: Array, sums: Callable[[Scalar], Halves], count: int, reweighting: Scalar | None) -> Halves:
    """Puts positives and negatives together; `sums(scale)` is log sum_k exp(scale s_k) over an anchor's negatives.

    With a reweighting beta the negatives weigh w_k = exp(beta s_k) / mean_l exp(beta s_l), which have no gradient.
    """
    if reweighting is None:
        negatives = sums(1.0)
    else:
        norms = sums(reweighting)
        weighted = sums(1.0 + jnp.asarray(reweighting))
        log_count = float(np.log(count))
        negatives = tuple(x - jax.lax.stop_gradient(y) + log_count for x, y in zip(weighted, norms, strict=True))
    return tuple(jnp.logaddexp(x, positive) - positive for x in negatives)


def num_negatives(scheme: str, num: int) -> int:
    """How many negatives an anchor has in a batch of `num` pairs."""
    return {"one_view": num - 1, "one_view_with_self": num}.get(scheme, 2 * (num - 1))


def _given(logits: Array, scale: Scalar) -> Halves:
    return (jax.nn.logsumexp(scaled(logits, scale), axis=1),)


def _in_batch(similarity: Similarity, z, z_pos, contrast: Contrast, scale: Scalar) -> Halves:
    scheme, size = contrast.scheme, contrast.block_size
    published = scheme == "two_view_as_published"
    if size is None:
        within_of, across_of = dense.within_logsumexp, dense.across_logsumexps
    else:
        within_of = partial(blocked.within_logsumexp, block_size=size)
        across_of = partial(blocked.across_logsumexps, block_size=size, columns=not published)
    centre = jnp.mean(z, axis=0, keepdims=True)
    first = similarity.parts(z, z, centre)
    within = within_of(first, scale=scale)
    if scheme == "one_view":
        return (within,)
    if scheme == "one_view_with_self":
        return (jnp.logaddexp(within, scaled(similarity.pair(z, z), scale)),)
    # The cross block serves both halves: row i holds anchor a_i against every b_k, column i b_i against a_k.
    second = similarity.parts(z_pos, z_pos, centre)
    within_pos = within_of(second, scale=scale)
    rows, columns = across_of(first._replace(columns=second.columns), scale=scale)
    return jnp.logaddexp(within, rows), jnp.logaddexp(within_pos, rows if published else columns)
