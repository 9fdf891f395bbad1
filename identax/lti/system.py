"""A linear time-invariant system, and the environments that drive it."""

import dataclasses
from typing import Any

import jax


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
