"""The InfoNCE family: one similarity, one contrast, one value per anchor."""

from collections.abc import Callable
from functools import lru_cache, partial

from jaxtyping import Array, Float

from identax.checks import check_positive, concrete, shape_of
from identax.losses._checks import BlockSize, Embeddings, Scalar, as_floats, as_number, check_precision
from identax.losses.contrast import Contrast, Recipe, check_contrast, per_anchor
from identax.losses.similarity import Similarity, dot_similarity, lp_similarity, mahalanobis_similarity


def infonce(
    z: Embeddings,
    z_pos: Embeddings,
    *,
    temperature: Scalar = 1.0,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
    block_size: BlockSize = None,
    reweighting: Scalar = 0.0,
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

    `block_size`: None holds the N x N similarities. A number computes them in tiles of that many rows and columns,
    once forwards and once more backwards: same value and gradient, memory of a tile and of a few arrays like z. 512
    to 1024 is best on CPUs (also two to three times faster than None from about N=2000, n=128 on), more where a device
    is starved by small tiles. Reverse mode only: no `jax.jvp` or `jax.hessian`. Not together with `negatives`.

    `reweighting` = beta >= 0: negative k of an anchor counts w_k = exp(beta s_k) / mean_l exp(beta s_l) times, so
    that hard ones count more and beta = 0 is the plain loss. The weights have no gradient: they stand for another
    law of negatives, q(k) ~ p(k) exp(beta s_k), whose optimum is the plain one's logits over 1 + beta. The published
    code has the same value but differentiates the weights, too.

    Args: `z`, `z_pos` [N, n], integers and booleans count as floats; `temperature` > 0 and `reweighting` may be traced.
    Raises `ValueError` for unequal or wrong shapes, complex entries, N=1 without `negatives`, an unknown scheme, a
    known temperature that is not positive, a known reweighting below 0, or a block size outside 1 .. N.
    Source: Zimmermann et al. 2021, eq. 1; Rusak et al. 2025; reweighting: Robinson et al. 2021.
    """
    contrast = Contrast(scheme, negatives, block_size, reweighting)
    return _loss("infonce", infonce_recipe, z, z_pos, contrast, temperature=temperature)


def lp_infonce(
    z: Embeddings,
    z_pos: Embeddings,
    *,
    p: Scalar,
    temperature: Scalar = 1.0,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
    block_size: BlockSize = None,
    reweighting: Scalar = 0.0,
) -> Float[Array, " B"]:
    """InfoNCE with the similarity s(u, v) = -sum_j |u_j - v_j|^p / temperature, one value per anchor.

    All options as in `infonce`. `p` > 0 and `temperature` > 0 may be traced; a static `p` is faster (p = 2 by a
    matrix product, other integers without a power function). Where two coordinates are equal the gradient is 0,
    also for p <= 1, where the derivative does not exist. No array [N, M, n] is held for in-batch negatives.
    Raises `ValueError` as `infonce`, and for a known `p` that is not positive.
    Source: Zimmermann et al. 2021, section 3 (convex bodies, Lp conditionals).
    """
    contrast = Contrast(scheme, negatives, block_size, reweighting)
    return _loss("lp_infonce", lp_recipe, z, z_pos, contrast, p=p, temperature=temperature)


def aninfonce(
    z: Embeddings,
    z_pos: Embeddings,
    precision: Embeddings,
    *,
    scheme: str = "two_view",
    negatives: Embeddings | None = None,
    block_size: BlockSize = None,
    reweighting: Scalar = 0.0,
    signed: bool = False,
) -> Float[Array, " B"]:
    """AnInfoNCE: the similarity s(u, v) = -1/2 sum_j precision_j (u_j - v_j)^2, one value per anchor.

    All options as in `infonce`. `precision` [n] > 0 (units of 1 / embedding^2) may be traced and is usually learned
    together with the encoder. The factor 1/2 makes it the precision of a normal conditional: it is twice the Lambda
    of the paper's exponent. On the unit sphere precision = 1/tau in every dim is `infonce` with temperature tau.

    n is the embedding's dim and need not be the latents'. With `signed`, any finite precision is permitted: negative
    where negatives are closer than positives (the optimum with negatives from a conditional of precision Lambda- is
    Lambda - Lambda-), 0 for dims that are to play no part.
    Raises `ValueError` as `infonce`, and for a precision of another shape or with known entries that are not finite
    or, unless `signed`, not positive.
    Source: Rusak et al. 2025, AnInfoNCE objective.
    """
    contrast = Contrast(scheme, negatives, block_size, reweighting)
    return _loss("aninfonce", aninfonce_recipe, z, z_pos, contrast, precision, signed=signed)


def _loss(where, recipe, z, z_pos, contrast, *args, **parameters):
    check_contrast(where, z, z_pos, contrast)
    return per_anchor(where, recipe(where, shape_of(z)[1], *args, **parameters), z, z_pos, contrast)


def infonce_recipe(where: str, dim: int, *, temperature: Scalar = 1.0) -> Recipe:
    """Checks the parameters of `infonce` and says how its similarity is made."""
    check_positive(where, "temperature", temperature, ())
    return dot_similarity, (as_number(where, "temperature", temperature),)


def lp_recipe(where: str, dim: int, *, p: Scalar, temperature: Scalar = 1.0) -> Recipe:
    """Checks the parameters of `lp_infonce` and says how its similarity is made; a known p stays static."""
    check_positive(where, "p", p, ())
    check_positive(where, "temperature", temperature, ())
    temperature, known = as_number(where, "temperature", temperature), concrete(p)
    if known is None:
        return lp_similarity, (as_number(where, "p", p), temperature)
    return _of_known(float(known)), (temperature,)


@lru_cache(maxsize=64)
def _of_known(p: float) -> Callable[..., Similarity]:
    """One object for one p, so that its program is found again."""
    return partial(lp_similarity, p)


def aninfonce_recipe(where: str, dim: int, precision: Embeddings, *, signed: bool = False) -> Recipe:
    """Checks the parameters of `aninfonce` and says how its similarity is made."""
    check_precision(where, precision, dim, signed=signed)
    return mahalanobis_similarity, tuple(as_floats(where, precision=precision))
