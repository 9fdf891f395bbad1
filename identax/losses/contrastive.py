"""The InfoNCE family: one similarity, one contrast, one value per anchor."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.losses._checks import Embeddings, Scalar, check_precision, check_scalar
from identax.losses.contrast import _contrast, check_contrast
from identax.losses.similarity import dot_similarity, lp_similarity, mahalanobis_similarity


def infonce(
    z: Embeddings,
    z_pos: Embeddings,
    *,
    temperature: Scalar = 1.0,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
) -> Float[Array, " B"]:
    """InfoNCE with the similarity s(u, v) = u.v / temperature, one value per anchor.

    loss_i = -s(i, positive) + logsumexp({s(i, positive)} U {s(i, k): k in negatives of i}). With anchors
    a = z and positives b = z_pos, the negatives of an anchor are, by `scheme`,

    * `"two_view"`: all other embeddings of both views, {a_k, b_k: k != i} for a_i and for b_i; 2N values,
      first the anchors a, then the anchors b; 2(N-1)+1 terms each
    * `"two_view_as_published"`: as above, but the second half reuses the cross block of the first,
      s(a_i, b_k) where s(b_i, a_k) belongs (the published AnInfoNCE code); 2N values
    * `"one_view"`: {a_k: k != i}; N values, N terms
    * `"one_view_with_self"`: all a_k, the anchor included (the published contrastive-ICA code); N values,
      N+1 terms
    * `negatives` [N, M, n] given: those of row i, and `scheme` plays no part; N values, M+1 terms

    Embeddings are taken as they are; normalising is the model's business.
    Args: `z`, `z_pos` [N, n]; `temperature` > 0, may be traced.
    Raises `ValueError` for unequal or wrong shapes, N=1 without `negatives`, an unknown scheme, or a known
    temperature that is not positive.
    Source: Zimmermann et al. 2021, eq. 1; Rusak et al. 2025.
    """
    check_contrast("infonce", z, z_pos, scheme, negatives)
    check_scalar("infonce", "temperature", temperature)
    return _contrast(dot_similarity(temperature), z, z_pos, scheme, negatives)


def lp_infonce(
    z: Embeddings,
    z_pos: Embeddings,
    *,
    p: Scalar,
    temperature: Scalar = 1.0,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
) -> Float[Array, " B"]:
    """InfoNCE with the similarity s(u, v) = -sum_j |u_j - v_j|^p / temperature, one value per anchor.

    Schemes, shapes and `negatives` as in `infonce`. `p` > 0 and `temperature` > 0 may be traced; a static `p`
    is faster (p = 2 by a matrix product, other integers without a power function). Where two coordinates are
    equal the gradient is 0, also for p <= 1, where the derivative does not exist.
    Raises `ValueError` as `infonce`, and for a known `p` that is not positive.
    Source: Zimmermann et al. 2021, section 3 (convex bodies, Lp conditionals).
    """
    check_contrast("lp_infonce", z, z_pos, scheme, negatives)
    check_scalar("lp_infonce", "p", p)
    check_scalar("lp_infonce", "temperature", temperature)
    return _contrast(lp_similarity(p, temperature), z, z_pos, scheme, negatives)


def aninfonce(
    z: Embeddings,
    z_pos: Embeddings,
    precision: Embeddings,
    *,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
) -> Float[Array, " B"]:
    """AnInfoNCE: the similarity s(u, v) = -1/2 sum_j precision_j (u_j - v_j)^2, one value per anchor.

    Schemes, shapes and `negatives` as in `infonce`. `precision` [n] > 0 (units of 1 / embedding^2) may be
    traced and is usually learned together with the encoder. The factor 1/2 makes it the precision of a normal
    conditional: it is twice the Lambda of the paper's exponent. On the unit sphere precision = 1/tau in every
    dim is `infonce` with temperature tau.
    Raises `ValueError` as `infonce`, and for a precision of another shape or with known entries not positive.
    Source: Rusak et al. 2025, AnInfoNCE objective.
    """
    check_contrast("aninfonce", z, z_pos, scheme, negatives)
    check_precision("aninfonce", precision, np.shape(z)[1])
    return _contrast(mahalanobis_similarity(jnp.asarray(precision)), z, z_pos, scheme, negatives)
