"""Explicitness: can every level of every factor be read off linearly?"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from identax.checks import concrete
from identax.inputs import centred
from identax.metrics._matching import average_ranks
from identax.metrics._samples import Samples
from identax.metrics.disentanglement._inputs import factor_levels, held_out, is_discrete, only_finite, read_pair
from identax.metrics.logistic import logistic_regression
from identax.metrics.scaling import standardised

_HIGHEST = jax.lax.Precision.HIGHEST


def explicitness(
    factors: Samples,
    estimates: Samples,
    *,
    test_factors: Samples | None = None,
    test_estimates: Samples | None = None,
    num_levels: int | None = None,
    l2: float | int = 1.0,
) -> Float[Array, ""]:
    """Mean area under the ROC curve of one-versus-rest logistic regressions on the whole representation.

        1/K sum_k 1/L_k sum_l AUC(w_kl . z; factor k has level l),    0.5: chance,  1: linearly separable levels

    L_k counts the levels that occur; the estimates are z-scored by the training samples. `l2` as in
    `logistic_regression` (1: scikit-learn's default C). All fits run in one program.
    Args: `factors` [N, K] integers, `estimates` [N, m], `num_levels` as in `mutual_information`; scored on the test
    arrays, or on the same samples without them; a level absent from either or filling it is left out
    (NaN where that leaves none).
    Raises `ValueError` for floating factors, shapes that do not fit, constant factors, NaN, one test array alone.
    Source: Ridgeway & Mozer 2018, section 3.
    """
    factors, estimates = read_pair("explicitness", factors, estimates)
    if not is_discrete(factors):
        raise ValueError(f"explicitness: found factors of type {factors.dtype}, wanted integers: levels of a factor")
    seen, seen_z = held_out("explicitness", factors, estimates, test_factors, test_estimates)
    if test_factors is None:
        levels, num = factor_levels("explicitness", factors, num_levels)
        seen_levels = levels
    else:
        # Numbered together, so that a level has one number in both parts.
        traced = concrete(factors) is None or concrete(seen) is None
        both = (jnp if traced else np).concatenate([factors, seen])
        together, num = factor_levels("explicitness", both, num_levels)
        levels, seen_levels = together[: factors.shape[0]], together[factors.shape[0] :]
    raw, raw_seen = centred("explicitness", scaled=True, estimates=estimates, test_estimates=seen_z)
    return _mean_area(raw, levels, raw_seen, seen_levels, num, l2)


@functools.partial(jax.jit, static_argnames="num")
def _mean_area(raw, levels, raw_seen, seen_levels, num, l2):
    x, seen_x = standardised(raw, raw), standardised(raw_seen, raw)
    positive, seen_positive = _one_versus_rest(levels, num), _one_versus_rest(seen_levels, num)
    areas = jax.vmap(lambda labels, test: _area(x, labels, seen_x, test, l2))(positive, seen_positive)
    both_kinds = jnp.stack([(part.any(axis=1) & ~part.all(axis=1)) for part in (positive, seen_positive)]).all(axis=0)
    counted = both_kinds.reshape(levels.shape[1], num).astype(areas.dtype)
    areas = jnp.where(counted > 0, areas.reshape(counted.shape), 0.0)
    return only_finite(jnp.mean(jnp.sum(areas, axis=1) / jnp.sum(counted, axis=1)), raw, raw_seen)


def _one_versus_rest(levels, num: int) -> Bool[Array, "KL N"]:
    wanted = jnp.arange(num, dtype=levels.dtype)
    return (levels.T[:, None, :] == wanted[None, :, None]).reshape(-1, levels.shape[0])


def _area(x, labels, seen_x, seen_labels, l2):
    weights = logistic_regression(x, labels.astype(jnp.int32), l2=l2).weights
    return roc_area(jnp.matmul(seen_x, weights, precision=_HIGHEST), seen_labels)


def roc_area(scores: Float[Array, " N"], positive: Bool[Array, " N"]) -> Float[Array, ""]:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half.

    (sum of the ranks of the positives - n (n + 1) / 2) / (n (N - n))
    """
    num = jnp.sum(positive, dtype=scores.dtype)
    # Centred ranks: their sums do not outgrow float32.
    ranks = average_ranks(scores) - (scores.shape[0] + 1) / 2
    pairs = jnp.where((num > 0) & (num < scores.shape[0]), num * (scores.shape[0] - num), 1.0)
    return 0.5 + jnp.sum(jnp.where(positive, ranks, 0.0)) / pairs
