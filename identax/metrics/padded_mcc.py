"""MCC of a code with more dims than there are known factors, as KITTI Masks is scored."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_choice, shape_of
from identax.metrics._matching import best_assignment, correlations, matched_mean
from identax.metrics._samples import Samples, apart, matrices, warn_of_few


def padded_mcc(key: Key[Array, ""], factors: Samples, codes: Samples, *, method: str = "pearson") -> Float[Array, ""]:
    """Mean |corr| of the known factors under the best one-to-one matching of factors *and noise* with the code.

    The k factors [N, k] are padded with standard normal columns up to the m dims of the codes [N, m]; the Hungarian
    assignment maximises the sum of |corr| over all m pairs; the mean is over the k real ones. The padding competes
    for dims like any factor, so this is never above `mcc(factors, codes)`; with k = m the two are equal.
    `method`: "pearson" or "spearman" (ranks).
    Raises `ValueError` for k > m, unequal N, an unknown method.
    Source: Zimmermann et al. 2021, KITTI Masks (code); Klindt et al. 2021.
    """
    check_choice("padded_mcc", "method", method, ("pearson", "spearman"))
    factors, codes = matrices("padded_mcc", factors=factors, codes=codes)
    known, dims = shape_of(factors)[1], shape_of(codes)[1]
    if known > dims:
        raise ValueError(f"padded_mcc: found {known} factors and a code of {dims} dims, wanted at least as many dims")
    warn_of_few("padded_mcc", factors=factors, codes=codes)
    ranked = method == "spearman"
    return _padded(key, *apart("padded_mcc", ranked=ranked, factors=factors, codes=codes), ranked)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _padded(key, factors, codes, ranked):
    num, known = factors.shape
    dims = codes.shape[1]
    noise = jax.random.normal(key, (dims - known, num), factors.dtype).T
    strength = jnp.abs(correlations(jnp.concatenate([factors, noise], axis=1), codes, ranked=ranked))
    return matched_mean(strength[:known], best_assignment(strength)[:known])
