"""A linear time-invariant system, the environments that drive it, and how much these differ."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_finite, check_positive


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearSystem:
    """x_{t+1} = A x_t + B u_t, y_t = C x_t in discrete time: A [d_x, d_x], B [d_x, d_u], C [d_y, d_x].

    A pytree, so that many systems can be stacked along a leading axis and mapped over.
    """

    A: Any
    B: Any
    C: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Environments:
    """What the experimenter sets: u_t ~ N(mean_e, diag variance_e), independent over t and components.

    `means` [E, d_u], `variances` [E, d_u] (positive); environment 0 is the base. Source: Rajendran et al. 2024,
    section 3.
    """

    means: Any
    variances: Any


def check_environments(where: str, environments: Environments, num_controls: int | None = None) -> tuple[int, int]:
    """Returns (E, d_u). Raises `ValueError` unless means and (where concrete, positive) variances are [E, d_u].

    `num_controls`: the d_u that is wanted, if there is one.
    """
    means, variances = np.shape(environments.means), np.shape(environments.variances)
    if len(variances) != 2 or means != variances or 0 in variances:
        raise ValueError(f"{where}: found means {means} and variances {variances}, wanted both [E, d_u]")
    if num_controls is not None and variances[1] != num_controls:
        raise ValueError(
            f"{where}: found environments of {variances[1]} controls, wanted d_u={num_controls} as the system has"
        )
    check_finite(where, "means", environments.means)
    check_positive(where, "variances", environments.variances)
    return variances[0], variances[1]


def variability_matrix(variances: ArrayLike | Sequence[Any]) -> Float[Array, "rows d"]:
    """Precision differences to environment 0, whose own row (of zeros) is left out.

        Delta_{e,i} = 1/sigma^2_{e,i} - 1/sigma^2_{0,i},    e = 1..E-1

    `variances` [E, d_u], environment 0 first. Returns [E - 1, d_u]. Full column rank is the published sufficient
    condition for identifiability. Raises `ValueError` for another shape, fewer than two environments or an entry
    that is not finite and positive.
    Source: Rajendran et al. 2024, section 3.1.
    """
    if np.ndim(variances) != 2 or np.shape(variances)[0] < 2 or np.shape(variances)[1] < 1:
        raise ValueError(
            f"variability_matrix: found variances of shape {np.shape(variances)}, wanted [E, d_u] with E >= 2"
        )
    check_positive("variability_matrix", "variances", variances)
    values = jnp.asarray(variances)
    precisions = 1.0 / values.astype(jnp.result_type(float, values))
    return precisions[1:] - precisions[:1]
