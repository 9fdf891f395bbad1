"""Alignment and uniformity: the two terms into which a contrastive loss falls apart with many negatives."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_between, check_positive, concrete, shape_of
from identax.losses._checks import Embeddings, Scalar, as_differences, as_number, check_pairs
from identax.losses.similarity import lp_similarity


def alignment(z: Embeddings, z_pos: Embeddings, *, p: Scalar = 2) -> Float[Array, " N"]:
    """sum_j |z_j - z_pos_j|^p, one value per pair.

    Args: `z`, `z_pos` [N, n]; `p` > 0, may be traced; at equal coordinates the gradient is 0 for every p.
    Raises `ValueError` for unequal or wrong shapes and a known p that is not positive.
    Source: Wang and Isola 2020, eq. 3; Zimmermann et al. 2021 (code).
    """
    check_pairs("alignment", z, z_pos)
    check_positive("alignment", "p", p, ())
    return -lp_similarity(as_number("alignment", "p", p), 1.0).pair(*as_differences("alignment", z=z, z_pos=z_pos))


def uniformity(z: Embeddings, others: Embeddings | None = None, *, p: Scalar = 2) -> Float[Array, " M"]:
    """log mean_i exp(-sum_d |z_i,d - others_j,d|^p), one value per row j of `others`.

    Args: `z` [N, n]; `others` [M, n], by default `z` itself, where every row also meets itself (distance 0); `p` > 0,
    may be traced.
    Raises `ValueError` for wrong shapes and a known p that is not positive.
    Source: Wang and Isola 2020, eq. 4 (which takes the logarithm of the mean over all pairs); Zimmermann et al. 2021
    (code).
    """
    others = z if others is None else others
    check_pairs("uniformity", z, z)
    if len(shape_of(others)) != 2 or shape_of(others)[1] != shape_of(z)[1] or shape_of(others)[0] == 0:
        raise ValueError(
            f"uniformity: found others of shape {shape_of(others)}, wanted [M >= 1, n] with n={shape_of(z)[1]}"
        )
    check_positive("uniformity", "p", p, ())
    known, rows = concrete(p), as_differences("uniformity", z=z, others=others)
    if known is None:
        return _uniformity(None, as_number("uniformity", "p", p), *rows)
    return _uniformity(float(known), None, *rows)


@partial(jax.jit, static_argnums=0, inline=True)
def _uniformity(known, p, z, others):
    logits = lp_similarity(p if known is None else known, 1.0).matrix(z, others)
    return jax.nn.logsumexp(logits, axis=0) - float(np.log(z.shape[0]))


def alignment_uniformity(
    z: Embeddings,
    z_pos: Embeddings,
    others: Embeddings | None = None,
    *,
    alpha: Scalar = 0.5,
    p: Scalar = 2,
) -> Float[Array, " N"]:
    """(1 - alpha) alignment(z_j, z_pos_j) + alpha uniformity_j(z, others), one value per row j.

    Args: `z`, `z_pos`, `others` [N, n] (`others` by default `z`); `alpha` in [0, 1] and `p` > 0, may be traced.
    Raises `ValueError` for unequal or wrong shapes, or a known alpha or p out of range.
    Source: Zimmermann et al. 2021 (code; the published class cannot be run, this is what it describes).
    """
    if others is not None:
        check_pairs("alignment_uniformity", z, others)
    check_between("alignment_uniformity", "alpha", alpha, 0, 1, ())
    share = as_number("alignment_uniformity", "alpha", alpha)
    return (1 - share) * alignment(z, z_pos, p=p) + share * uniformity(z, others, p=p)
