"""SAP: by how much one estimate predicts a factor better than the second best."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice
from identax.inputs import centred
from identax.metrics._matching import correlations
from identax.metrics._samples import Samples, apart
from identax.metrics.disentanglement._inputs import gaps_of_best, held_out, host_arrays, is_discrete, read_pair

KINDS = ("continuous", "discrete")


def sap(
    factors: Samples,
    estimates: Samples,
    *,
    kind: str = "continuous",
    test_factors: Samples | None = None,
    test_estimates: Samples | None = None,
    penalty: float | int = 0.01,
    per_factor: bool = False,
) -> Float[Array, "..."]:
    """Separated attribute predictability: mean over factors of the gap between the two most predictive estimates.

        SAP = 1/K sum_k (S_k(1) - S_k(2)),    S_k(1) >= S_k(2) >= ...  the scores of factor k

    `kind` "continuous": S_kj = corr(factor_k, estimate_j)^2, jittable; "discrete": S_kj is the accuracy of a linear
    support vector classifier of factor k on estimate j alone, classes weighted to be balanced, C = `penalty`, fitted by
    scikit-learn on known values (its coordinate descent has no vectorised counterpart here). For it estimates are
    z-scored by the training samples, so that their scale does not matter, and it is scored on the test arrays, or on
    the same samples without them.
    Args: `factors` [N, K] (integers if discrete), `estimates` [N, m], m >= 2; `per_factor`: the vector [K].
    Raises `ValueError` for an unknown kind, shapes that do not fit, one estimate alone, constant factors, NaN, discrete
    scores of floating factors or inside compiled programs, and test arrays for continuous ones.
    Source: Kumar et al. 2018, section 3; C = 0.01 and balanced classes: Locatello et al. 2019.
    """
    check_choice("sap", "kind", kind, KINDS)
    factors, estimates = read_pair("sap", factors, estimates, dims_min=2)
    if kind == "continuous":
        if test_factors is not None or test_estimates is not None:
            raise ValueError("sap: found test arrays for kind='continuous', wanted them for 'discrete' alone")
        scores = _squared_correlations(*apart("sap", factors=factors, estimates=estimates))
    else:
        if not is_discrete(factors) or not penalty > 0:
            raise ValueError(
                f"sap: found factors of type {factors.dtype}, penalty={penalty}, wanted integers for kind='discrete' "
                "and penalty > 0"
            )
        seen = held_out("sap", factors, estimates, test_factors, test_estimates)
        scores = jnp.asarray(_accuracies(host_arrays("sap", factors, estimates, *seen), penalty))
    gaps = gaps_of_best(scores)
    return gaps if per_factor else jnp.mean(gaps)


@jax.jit
def _squared_correlations(factors: Float[Array, "N K"], estimates: Float[Array, "N m"]) -> Float[Array, "K m"]:
    return correlations(factors, estimates, ranked=False) ** 2


def _accuracies(arrays, penalty) -> Float[np.ndarray, "K m"]:
    # Imported here: it takes a second, and the scores in JAX do without.
    from sklearn.svm import LinearSVC

    factors, estimates, seen, seen_estimates = arrays
    x, seen_x = centred("sap", dtype=np.float64, estimates=estimates, test_estimates=seen_estimates)
    spread = x.std(axis=0)
    spread = np.where(spread > 0, spread, np.inf)  # a constant estimate becomes 0 and tells nothing
    x, seen_x = x / spread, seen_x / spread
    scores = np.zeros((factors.shape[1], x.shape[1]))
    for k, j in np.ndindex(*scores.shape):
        model = LinearSVC(C=penalty, class_weight="balanced", dual=False)  # pyright: ignore[reportArgumentType]
        scores[k, j] = model.fit(x[:, [j]], factors[:, k]).score(seen_x[:, [j]], seen[:, k])
    return scores
