"""Contrast: which rows are compared with which, one shared log-sum-exp for every similarity."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax._choices import check_choice
from identax.losses._checks import Embeddings, check_pairs
from identax.losses.similarity import Similarity

SCHEMES = ("two_view", "two_view_as_published", "one_view", "one_view_with_self")


def check_contrast(
    where: str, z: Embeddings, z_pos: Embeddings, scheme: str, negatives: Embeddings | None
) -> None:
    """Raises `ValueError` for unknown schemes, unequal or wrong shapes, and batches without any negative."""
    check_choice(where, "scheme", scheme, SCHEMES)
    check_pairs(where, z, z_pos)
    num, dim = np.shape(z)
    if negatives is None:
        if num == 1:
            raise ValueError(
                f"{where}: found N=1, wanted N >= 2: with scheme {scheme!r} the negatives are the other rows"
            )
    elif np.ndim(negatives) != 3 or np.shape(negatives)[::2] != (num, dim) or np.shape(negatives)[1] == 0:
        raise ValueError(
            f"{where}: found negatives of shape {np.shape(negatives)}, "
            f"wanted [N, M, n] = ({num}, M >= 1, {dim})"
        )


def _with_diagonal(matrix, value):
    """Returns `matrix` [N, N] with `value`, a scalar or [N], on its diagonal; the old one has no gradient."""
    on_diagonal = jnp.eye(matrix.shape[0], dtype=bool)
    return jnp.where(on_diagonal, jnp.broadcast_to(value, (matrix.shape[0],))[:, None], matrix)


def _contrast(
    similarity: Similarity, z: Embeddings, z_pos: Embeddings, scheme: str, negatives: Embeddings | None
) -> Float[Array, " B"]:
    """Computes -s_pos + logsumexp({s_pos} U negatives) per anchor.

    2N values (first-view anchors, then second-view anchors) in the two-view schemes, otherwise N. The
    positive is always taken from `similarity.pair`, so that cancellation in the matrix form cannot push a
    value below 0.
    """
    z, z_pos = jnp.asarray(z), jnp.asarray(z_pos)
    logsumexp = jax.nn.logsumexp
    positive = similarity.pair(z, z_pos)
    if negatives is not None:
        logits = similarity.pair(z[:, None, :], jnp.asarray(negatives))
        return jnp.logaddexp(positive, logsumexp(logits, axis=1)) - positive
    within = similarity.matrix(z, z)
    if scheme == "one_view_with_self":
        within = _with_diagonal(within, similarity.pair(z, z))
        return jnp.logaddexp(positive, logsumexp(within, axis=1)) - positive
    within = _with_diagonal(within, -jnp.inf)
    if scheme == "one_view":
        return jnp.logaddexp(positive, logsumexp(within, axis=1)) - positive
    # The cross block serves both halves: row i holds anchor a_i against every b_k, column i b_i against a_k.
    within_pos = _with_diagonal(similarity.matrix(z_pos, z_pos), -jnp.inf)
    across = _with_diagonal(similarity.matrix(z, z_pos), positive)
    rows = logsumexp(across, axis=1)
    columns = rows if scheme == "two_view_as_published" else logsumexp(across, axis=0)
    first = jnp.logaddexp(logsumexp(within, axis=1), rows) - positive
    second = jnp.logaddexp(logsumexp(within_pos, axis=1), columns) - positive
    return jnp.concatenate([first, second])
