"""Scores of the matrix of mutual informations: one estimate per factor (MIG), one factor per estimate (modularity)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.metrics._samples import Samples
from identax.metrics.disentanglement._inputs import gaps_of_best, only_finite, ratio, read_pair
from identax.metrics.disentanglement.information import NUM_BINS, information_of_pair, normalised_information


def mig(
    factors: Samples,
    estimates: Samples,
    *,
    num_bins: int = NUM_BINS,
    num_levels: int | None = None,
    per_factor: bool = False,
) -> Float[Array, "..."]:
    """Mutual information gap: by how much the best estimate of a factor is better than the second best.

        MIG = 1/K sum_k (I_k(1) - I_k(2)) / H_k,    I_k(1) >= I_k(2) >= ...  the informations of factor k

    It is 1 where every factor is in one estimate and no other, 0 where two estimates share it evenly.
    Args as `mutual_information`; `per_factor`: the vector [K].
    Raises `ValueError` as `mutual_information`, and for one estimate alone.
    Source: Chen et al. 2018, eq. 6; 20 bins: Locatello et al. 2019, appendix C.
    """
    factors, estimates = read_pair("mig", factors, estimates, dims_min=2)
    gaps = gaps_of_best(normalised_information("mig", factors, estimates, num_bins, num_levels))
    return gaps if per_factor else jnp.mean(gaps)


def modularity(
    factors: Samples, estimates: Samples, *, num_bins: int = NUM_BINS, num_levels: int | None = None
) -> Float[Array, ""]:
    """Whether every estimate tells of one factor only.

        1/m sum_j (1 - sum_{k != k_j} I_kj^2 / (I_j^2 (K - 1))),    I_j = max_k I_kj,  k_j its place

    An estimate without information on any factor counts 0.
    Args as `mutual_information`. Raises `ValueError` as `mutual_information`, and for one factor alone.
    Source: Ridgeway & Mozer 2018, section 3; estimates without information as in Locatello et al. 2019.
    """
    factors, estimates = read_pair("modularity", factors, estimates, factors_min=2)
    return _modularity(information_of_pair("modularity", factors, estimates, num_bins, num_levels))


@jax.jit
def _modularity(information: Float[Array, "K m"]) -> Float[Array, ""]:
    squares = information**2
    largest = jnp.max(squares, axis=0)
    others = jnp.sum(squares, axis=0) - largest
    return only_finite(jnp.mean(1 - ratio(others, largest * (squares.shape[0] - 1), 1.0)), squares)
