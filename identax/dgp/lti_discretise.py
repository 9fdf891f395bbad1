"""From continuous to discrete time."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import jax.scipy.linalg
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_finite, check_positive


def zero_order_hold(
    A: ArrayLike | Sequence[Any], B: ArrayLike | Sequence[Any], dt: ArrayLike
) -> tuple[Float[Array, "d_x d_x"], Float[Array, "d_x d_u"]]:
    """Discrete-time (A_d, B_d) of dx/dt = A x + B u whose control is held constant over each step of length dt.

        [[A_d, B_d], [0, I]] = exp([[A, B], [0, 0]] dt),  that is A_d = exp(A dt), B_d = (int_0^dt exp(A s) ds) B

    `A` [d_x, d_x] per unit of time, `B` [d_x, d_u], `dt` in that unit of time; C is the same in both times. A may be
    singular. Differentiable, jittable, and it maps over batches.
    Raises `ValueError` for a non-square A, a B with other rows, non-finite entries, and dt that is not > 0.
    Source: Van Loan 1978, Computing integrals involving the matrix exponential; Rajendran et al. 2024, section 4.
    """
    A, B = jnp.asarray(A), jnp.asarray(B)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
        raise ValueError(f"zero_order_hold: found A of shape {A.shape}, wanted [d_x, d_x]")
    if B.ndim != 2 or B.shape[0] != A.shape[0]:
        raise ValueError(f"zero_order_hold: found B of shape {B.shape}, wanted [{A.shape[0]}, d_u] as A is {A.shape}")
    check_positive("zero_order_hold", "dt", dt, ())
    check_finite("zero_order_hold", "A", A)
    check_finite("zero_order_hold", "B", B)
    dtype = jnp.result_type(float, A, B)
    num_states, num_controls = B.shape
    block = jnp.zeros((num_states + num_controls,) * 2, dtype)
    block = block.at[:num_states, :num_states].set(A.astype(dtype)).at[:num_states, num_states:].set(B.astype(dtype))
    held = jax.scipy.linalg.expm(block * jnp.asarray(dt, dtype))
    return held[:num_states, :num_states], held[:num_states, num_states:]
