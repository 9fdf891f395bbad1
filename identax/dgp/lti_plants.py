"""Two physical plants, sampled in time: a DC motor and a mass on a damped spring."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_positive, concrete
from identax.dgp.lti_discretise import zero_order_hold
from identax.dgp.lti_system import LinearSystem


def dc_motor(
    dt: ArrayLike = 0.01,
    *,
    resistance: ArrayLike = 1.0,
    inductance: ArrayLike = 0.5,
    K: ArrayLike = 0.01,
    J: ArrayLike = 0.01,
    D: ArrayLike = 0.1,
) -> LinearSystem:
    """Armature current i and rotor speed w of a DC motor under a voltage u, both observed.

        d/dt [i; w] = [[-R/L, K/L], [-K/J, -D/J]] [i; w] + [1/L; 0] u,    y = [i; w]

    held constant between samples that are `dt` seconds apart. `resistance` R in ohm, `inductance` L in henry, motor
    constant `K`, inertia `J`, friction `D`. The signs of both K are those of the published study, the textbook's with
    w -> -w; it calls w an angle, but it is a speed. Without noise the pairs (y_t, y_{t+1}) lie in three dimensions.
    Raises `ValueError` unless all are finite and positive.
    Source: Rajendran et al. 2024, section 4.
    """
    constants = {"resistance": resistance, "inductance": inductance, "K": K, "J": J, "D": D}
    for name, value in (("dt", dt), *constants.items()):
        check_positive("dc_motor", name, value)
    xp, (R, L, k, j, d) = _numbers(constants)
    A = xp.stack([xp.stack([-R / L, k / L]), xp.stack([-k / j, -d / j])])
    B = xp.stack([1.0 / L, xp.zeros_like(L)])[:, None]
    held = zero_order_hold(A, B, dt)
    return LinearSystem(*held, jnp.eye(2, dtype=held[0].dtype))


def spring_mass_damper(
    dt: ArrayLike = 0.01, *, mass: ArrayLike = 20.0, damping: ArrayLike = 4.0, stiffness: ArrayLike = 2.0
) -> LinearSystem:
    """Position p and speed v of a mass m on a spring k with a damper c under a force u; the position is observed.

        d/dt [p; v] = [[0, 1], [-k/m, -c/m]] [p; v] + [0; 1/m] u,    y = p

    held constant between samples that are `dt` seconds apart. One output of a state of two: y_t alone does not
    determine the state, so pairs of observations do not identify it; whole trajectories do.
    Raises `ValueError` unless all are finite and positive.
    Source: Rajendran et al. 2024, code (no published result).
    """
    constants = {"mass": mass, "damping": damping, "stiffness": stiffness}
    for name, value in (("dt", dt), *constants.items()):
        check_positive("spring_mass_damper", name, value)
    xp, (m, c, k) = _numbers(constants)
    zero, one = xp.zeros_like(m), xp.ones_like(m)
    A = xp.stack([xp.stack([zero, one]), xp.stack([-k / m, -c / m])])
    held = zero_order_hold(A, xp.stack([zero, 1.0 / m])[:, None], dt)
    return LinearSystem(*held, jnp.eye(1, 2, dtype=held[0].dtype))


def _numbers(constants) -> tuple[Any, Any]:
    """NumPy and the constants in float64 where all are known, JAX and its floats otherwise."""
    known = [concrete(value) for value in constants.values()]
    if any(value is None for value in known):
        return jnp, [jnp.asarray(value, float) for value in constants.values()]
    return np, [np.asarray(value, np.float64) for value in known]
