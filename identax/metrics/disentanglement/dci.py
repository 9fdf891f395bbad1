"""DCI: disentanglement, completeness and informativeness from the importances of a predictor of every factor."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count, check_nonnegative
from identax.inputs import centred, float_type, numbers, within_range
from identax.metrics._samples import Samples
from identax.metrics.disentanglement._inputs import (
    entropy_of_shares,
    held_out,
    host_arrays,
    is_discrete,
    only_finite,
    ratio,
    read_pair,
)
from identax.metrics.regression import least_squares
from identax.metrics.scaling import standardised

PREDICTORS = ("lasso", "ridge", "boosted")
_HIGHEST = jax.lax.Precision.HIGHEST
_MAX_SWEEPS = 1000


def dci_scores(importances: Samples) -> dict[str, Float[Array, ""]]:
    """Disentanglement and completeness of a matrix of importances R [m, K] >= 0 (estimate i for factor j).

        disentanglement = sum_i rho_i (1 - H_K(R_i. / sum_j R_ij)),    rho_i = sum_j R_ij / sum_ij R_ij
        completeness = sum_j gamma_j (1 - H_m(R_.j / sum_i R_ij)),     gamma_j = sum_i R_ij / sum_ij R_ij

    H_b: entropy with logarithms to base b. A matrix of zeros scores 0.
    Raises `ValueError` for fewer than two estimates or factors, and known entries that are negative or not finite;
    inside compiled programs such entries give NaN.
    Source: Eastwood & Williams 2018, section 2; the mean over factors weighted by gamma: Locatello et al. 2019.
    """
    importances = numbers("dci_scores", "importances", importances)
    if importances.ndim != 2 or min(importances.shape) < 2:
        raise ValueError(f"dci_scores: found importances of shape {importances.shape}, wanted [m, K] with m, K >= 2")
    check_nonnegative("dci_scores", "importances", importances)
    dtype = float_type(importances)
    (matrix,) = within_range(importances)
    return _of_importances(jnp.asarray(matrix, dtype))


@functools.partial(jax.jit, inline=True)
def _of_importances(matrix: Float[Array, "m K"]) -> dict[str, Float[Array, ""]]:
    good = jnp.all(jnp.isfinite(matrix) & (matrix >= 0))
    scores = {"disentanglement": _concentration(matrix), "completeness": _concentration(matrix.T)}
    return {name: jnp.where(good, score, jnp.nan) for name, score in scores.items()}


@jax.jit
def _concentration(matrix: Float[Array, "rows columns"]) -> Float[Array, ""]:
    # Scaled by the largest entry first: sums of very large or small ones would leave the range of float32.
    matrix = ratio(matrix, jnp.broadcast_to(jnp.max(matrix), matrix.shape), 0.0)
    sums = jnp.sum(matrix, axis=1, keepdims=True)
    per_row = 1 - entropy_of_shares(ratio(matrix, jnp.broadcast_to(sums, matrix.shape), 0.0)) / np.log(matrix.shape[1])
    return jnp.sum(ratio(sums[:, 0], jnp.broadcast_to(jnp.sum(sums), sums[:, 0].shape), 0.0) * per_row)


def dci(
    factors: Samples,
    estimates: Samples,
    *,
    predictor: str = "lasso",
    penalty: float | int = 0.01,
    num_trees: int = 100,
    max_depth: int = 3,
    seed: int = 0,
    test_factors: Samples | None = None,
    test_estimates: Samples | None = None,
) -> dict[str, Float[Array, "..."]]:
    """Disentanglement, completeness and informativeness, each at most 1, and the `importances` [m, K].

    `predictor` "lasso", "ridge": R_ij = |W_ij| of argmin_W 1/(2N) |Y - X W|^2 + `penalty` (|W|_1 or |W|_2^2 / 2), X and
    Y z-scored by the training samples; jittable. "boosted": R_ij is the importance of estimate i in
    `num_trees` boosted trees for factor j, a classifier for integer factors and a regressor for others, fitted by
    scikit-learn on known values (growing trees has no static shapes). Informativeness is the mean over factors of R^2,
    or of the accuracy of the boosted classifiers, on the test arrays, or on the same samples without them.
    Args: `factors` [N, K], `estimates` [N, m], K, m >= 2; `seed`, of the order in which trees try estimates.
    Raises `ValueError` for an unknown predictor, shapes that do not fit, constant factors, NaN, penalty < 0,
    num_trees < 1, max_depth < 1, and "boosted" inside compiled programs.
    Source: Eastwood & Williams 2018, section 2 (lasso; there the error, here R^2); boosted trees as in Locatello et al.
    2019; scores as in `dci_scores`.
    """
    check_choice("dci", "predictor", predictor, PREDICTORS)
    factors, estimates = read_pair("dci", factors, estimates, factors_min=2, dims_min=2)
    check_nonnegative("dci", "penalty", penalty, ())
    check_count("dci", "num_trees", num_trees)
    check_count("dci", "max_depth", max_depth)
    seen, seen_estimates = held_out("dci", factors, estimates, test_factors, test_estimates)
    if predictor == "boosted":
        arrays = host_arrays("dci", factors, estimates, seen, seen_estimates)
        importances, informativeness = _boosted(arrays, num_trees, max_depth, seed)
    else:
        importances, informativeness = _linear(predictor, penalty, factors, estimates, seen, seen_estimates)
    return {**dci_scores(importances), "informativeness": informativeness, "importances": importances}


def _linear(predictor, penalty, factors, estimates, seen, seen_estimates):
    dtype = float_type(factors, estimates, seen, seen_estimates)
    y, seen_y = centred("dci", scaled=True, dtype=dtype, factors=factors, test_factors=seen)
    x, seen_x = centred("dci", scaled=True, dtype=dtype, estimates=estimates, test_estimates=seen_estimates)
    return _fit_linear(predictor, penalty, y, x, seen_y, seen_x)


@functools.partial(jax.jit, static_argnames="predictor")
def _fit_linear(predictor, penalty, raw_y, raw_x, raw_seen_y, raw_seen_x):
    x, y = standardised(raw_x, raw_x), standardised(raw_y, raw_y)
    weights = lasso(x, y, penalty) if predictor == "lasso" else ridge(x, y, penalty)
    target = standardised(raw_seen_y, raw_y)
    predicted = jnp.matmul(standardised(raw_seen_x, raw_x), weights, precision=_HIGHEST)
    spread = jnp.sum((target - jnp.mean(target, axis=0, keepdims=True)) ** 2, axis=0)
    r2 = 1 - ratio(jnp.sum((target - predicted) ** 2, axis=0), spread, 1.0)
    inputs = raw_y, raw_x, raw_seen_y, raw_seen_x
    return only_finite(jnp.abs(weights), *inputs), only_finite(jnp.mean(r2), *inputs)


def ridge(x: Float[Array, "N m"], y: Float[Array, "N K"], penalty) -> Float[Array, "m K"]:
    """argmin_W 1/(2N) |y - x W|^2 + penalty/2 |W|^2, as least squares with sqrt(N penalty) I below x."""
    shrink = jnp.sqrt(jnp.asarray(penalty * x.shape[0], x.dtype)) * jnp.eye(x.shape[1], dtype=x.dtype)
    zeros = jnp.zeros((x.shape[1], y.shape[1]), y.dtype)
    return least_squares(jnp.concatenate([x, shrink]), jnp.concatenate([y, zeros]))


def lasso(x: Float[Array, "N m"], y: Float[Array, "N K"], penalty) -> Float[Array, "m K"]:
    """argmin_W 1/(2N) |y - x W|^2 + penalty |W|_1 for centred columns: cyclic coordinate descent on x^T x."""
    num = x.shape[0]
    gram = jnp.matmul(x.T, x, precision=_HIGHEST) / num
    target = jnp.matmul(x.T, y, precision=_HIGHEST) / num
    tolerance = 4 * jnp.finfo(x.dtype).eps

    def descend(i, weights):
        rest = target[i] - jnp.matmul(gram[i], weights, precision=_HIGHEST) + gram[i, i] * weights[i]
        shrunk = jnp.sign(rest) * jnp.maximum(jnp.abs(rest) - penalty, 0.0)
        return weights.at[i].set(ratio(shrunk, jnp.broadcast_to(gram[i, i], shrunk.shape), 0.0))

    def unfinished(carry):
        _, sweep, change = carry
        return (sweep < _MAX_SWEEPS) & (change > tolerance)

    def sweep_once(carry):
        weights, sweep, _ = carry
        new = jax.lax.fori_loop(0, x.shape[1], descend, weights)
        return new, sweep + 1, jnp.max(jnp.abs(new - weights))

    start = (jnp.zeros_like(target), jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, x.dtype))
    return cast(Any, jax.lax.while_loop(unfinished, sweep_once, start))[0]


def _boosted(arrays, num_trees, max_depth, seed):
    # Imported here: it takes a second, and the scores in JAX do without.
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    factors, estimates, seen, seen_estimates = arrays
    # Trees see float32.
    estimates, seen_estimates = centred("dci", dtype=np.float64, estimates=estimates, test_estimates=seen_estimates)
    kind = GradientBoostingClassifier if is_discrete(factors) else GradientBoostingRegressor
    importances, scores = [], []
    for factor, seen_factor in zip(factors.T, seen.T, strict=True):
        model = kind(n_estimators=num_trees, max_depth=max_depth, random_state=seed).fit(estimates, factor)
        importances.append(model.feature_importances_)
        scores.append(model.score(seen_estimates, seen_factor))
    return jnp.asarray(np.stack(importances, axis=1)), jnp.asarray(np.mean(scores))
