"""InfoMEC: modularity, compactness and explicitness in shares of information."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from identax.checks import check_choice, concrete
from identax.inputs import centred, float_type, numbers
from identax.metrics._samples import Samples, apart
from identax.metrics.disentanglement._inputs import factor_levels, host_arrays, is_discrete, ratio, read_pair
from identax.metrics.disentanglement.information import NUM_BINS, discretise, entropies, information_of_levels
from identax.metrics.regression import fitted_r2

ESTIMATORS = ("neighbours", "histogram")
_ACTIVE_SHARE = 1 / 20  # of the widest range: what a continuous estimate must cover to count as active
_MAX_STEPS = 100


def info_modularity_compactness(information: Samples, active: Samples) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """InfoM and InfoC of normalised informations NMI [K, m] = I(factor; estimate) / H(factor) >= 0.

        InfoM = (1/|A| sum_{j in A} max_k NMI_kj / sum_k NMI_kj - 1/K) / (1 - 1/K),    A: the active estimates
        InfoC = (1/K sum_k max_{j in A} NMI_kj / sum_{j in A} NMI_kj - 1/|A|) / (1 - 1/|A|)

    1: every estimate tells of one factor, every factor is in one estimate; 0: evenly spread. A row or column of zeros
    counts as evenly spread. Without an active estimate both are 0; with a single one InfoC has no scale and is NaN.
    Args: `information` [K, m], K >= 2; `active` [m], bool. Jittable.
    Raises `ValueError` for other shapes.
    Source: Hsu et al. 2023, section 4 (InfoModularity, InfoCompactness).
    """
    information = numbers("info_modularity_compactness", "information", information)
    active = np.asarray(active) if concrete(active) is not None else active
    if information.ndim != 2 or information.shape[0] < 2 or active.shape != information.shape[1:]:
        raise ValueError(
            f"info_modularity_compactness: found information {information.shape} and active {active.shape}, "
            "wanted [K, m] with K >= 2, and [m]"
        )
    return _modularity_compactness(jnp.asarray(information, float_type(information)), jnp.asarray(active))


@jax.jit
def _modularity_compactness(
    matrix: Float[Array, "K m"], active: Bool[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    finite = jnp.all(jnp.isfinite(matrix) | ~active[None, :])
    matrix = jnp.where(active[None, :], matrix, 0.0)
    num_factors, num_active = matrix.shape[0], jnp.sum(active, dtype=matrix.dtype)
    even = 1 / jnp.maximum(num_active, 1.0)
    of_estimate = ratio(jnp.max(matrix, axis=0), jnp.sum(matrix, axis=0), 1 / num_factors)
    row_sums = jnp.sum(matrix, axis=1)
    of_factor = jnp.where(row_sums > 0, ratio(jnp.max(matrix, axis=1), row_sums, 0.0), even)
    mean = jnp.sum(jnp.where(active, of_estimate, 0.0)) * even
    modularity = (mean - 1 / num_factors) / (1 - 1 / num_factors)
    compactness = (jnp.mean(of_factor) - even) / jnp.where(num_active > 1, 1 - even, jnp.nan)
    scores = jnp.stack([modularity, compactness])
    scores = jnp.where(finite, jnp.where(num_active > 0, scores, 0.0), jnp.nan)
    return scores[0], scores[1]


def infomec(
    factors: Samples,
    estimates: Samples,
    *,
    estimator: str = "neighbours",
    num_bins: int = NUM_BINS,
    num_neighbours: int = 10,
    balanced: bool = True,
    seed: int = 0,
) -> dict[str, Array]:
    """InfoM, InfoC and InfoE of a representation: `infom`, `infoc`, `infoe`, and `nmi` [K, m], `active` [m].

    `infom`, `infoc`: `info_modularity_compactness` of `nmi` = I(factor; estimate) / H(factor). Integer factors and
    estimates are levels. Floating factors are put into `num_bins` bins; floating estimates too with `estimator`
    "histogram", while "neighbours" is the k-nearest-neighbours estimate of scikit-learn (`seed`: of the noise it breaks
    ties with). Active are estimates that cover more than 1/20 of the widest range, or more than one level.
    `infoe`: mean over factors of the linear predictive information, 1 - H(factor | estimates) / H(factor), over all
    estimates. Integer factors: H(. | .) is the mean log loss of an unpenalised multinomial logistic regression (100
    steps of L-BFGS: on separable levels it has no optimum), on one-hot levels if the estimates are integers; fitted
    with balanced classes, as published, and H(factor) = log of the number of levels; with `balanced` False with the
    classes as they occur, and their entropy. Floating factors: Gaussians of one variance, hence R^2 of the linear map.
    To be called outside compiled programs, on known values: scikit-learn fits, and the published estimator is its own.
    Args: `factors` [N, K], K >= 2, `estimates` [N, m].
    Raises `ValueError` for an unknown estimator, shapes that do not fit, constant factors, NaN, num_neighbours < 1, and
    inside compiled programs.
    Source: Hsu et al. 2023, section 4 and appendix; predictive V-information: Xu et al. 2020.
    """
    check_choice("infomec", "estimator", estimator, ESTIMATORS)
    factors, estimates = read_pair("infomec", factors, estimates, factors_min=2)
    truth, found = host_arrays("infomec", factors, estimates)
    if not 1 <= num_neighbours < len(truth):
        raise ValueError(f"infomec: found num_neighbours={num_neighbours}, wanted 1 to {len(truth) - 1}")
    width = found.max(axis=0).astype(float) - found.min(axis=0).astype(float)
    active = width > (0 if is_discrete(found) else _ACTIVE_SHARE * width.max())
    levels, num_levels = _levels(truth, num_bins)
    if is_discrete(found) or estimator == "histogram":
        columns, num_columns = _levels(found, num_bins)
        information = information_of_levels(levels, num_levels, columns, num_columns, jnp.result_type(float))
    else:
        information = _neighbours(np.asarray(levels), found, num_neighbours, seed)
    nmi = information / entropies(levels, num_levels=num_levels)[:, None]
    infom, infoc = info_modularity_compactness(nmi, active)
    if is_discrete(truth):
        infoe = _logistic_information(np.asarray(levels), _design(found), balanced)
    else:
        infoe = fitted_r2(*apart("infomec", estimates=_design(found), factors=truth))
    return {"infom": infom, "infoc": infoc, "infoe": infoe, "nmi": nmi, "active": jnp.asarray(active)}


def _levels(values, num_bins):
    return factor_levels("infomec", values, None) if is_discrete(values) else (discretise(values, num_bins), num_bins)


def _design(estimates) -> Float[np.ndarray, "N p"]:
    """Estimates z-scored, or the one-hot levels of each side by side."""
    if is_discrete(estimates):
        return np.concatenate([(column[:, None] == np.unique(column)) for column in estimates.T], axis=1).astype(float)
    (moved,) = centred("infomec", dtype=np.float64, estimates=estimates)
    spread = moved.std(axis=0)
    return moved / np.where(spread > 0, spread, np.inf)


def _neighbours(levels, estimates, num_neighbours, seed) -> Float[Array, "K m"]:
    # Imported here: it takes a second, and the scores in JAX do without.
    from sklearn.feature_selection import mutual_info_classif

    rows = [
        mutual_info_classif(
            _design(estimates),
            column,
            discrete_features=False,  # pyright: ignore[reportArgumentType]
            n_neighbors=num_neighbours,
            random_state=seed,
        )
        for column in levels.T
    ]
    return jnp.asarray(np.stack(rows))


def _logistic_information(levels, design, balanced) -> Float[Array, ""]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    shares = []
    for column in levels.T:
        model = LogisticRegression(C=np.inf, class_weight="balanced" if balanced else None, max_iter=_MAX_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(design, column)
        counts = np.unique(column, return_counts=True)[1]
        marginal = np.log(len(counts)) if balanced else -np.sum(counts / len(column) * np.log(counts / len(column)))
        shares.append(1 - log_loss(column, model.predict_proba(design)) / marginal)
    return jnp.asarray(np.mean(shares))
