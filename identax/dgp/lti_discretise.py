"""From continuous to discrete time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_finite, check_positive, concrete
from identax.inputs import float_type, numbers
from identax.numerics import product

_DOUBLINGS = 130  # 2^128 is beyond float32
_TERMS = {np.dtype(np.float64): 16}
_TERMS_OTHERWISE = 9
"""of the series at norm 1/2; what is left out is below rounding"""


def zero_order_hold(
    A: ArrayLike | Sequence[Any], B: ArrayLike | Sequence[Any], dt: ArrayLike
) -> tuple[Float[Array, "d_x d_x"], Float[Array, "d_x d_u"]]:
    """Discrete-time (A_d, B_d) of dx/dt = A x + B u whose control is held constant over each step of length dt.

        [[A_d, B_d], [0, I]] = exp([[A, B], [0, 0]] dt),  that is A_d = exp(A dt), B_d = (int_0^dt exp(A s) ds) B

    `A` [d_x, d_x] per unit of time, `B` [d_x, d_u], `dt` in that unit of time; C is the same in both times. A may be
    singular, stiff or unstable. Known values are computed with in float64 on the host and rounded at the end; traced
    ones in their type, to about ||A dt|| roundings of each entry. Differentiable, jittable, and it maps over batches.
    Raises `ValueError` for a non-square A, a B with other rows, complex or non-finite entries, dt that is not > 0, and
    a result that is known to be beyond the range of its type.
    Source: Van Loan 1978, Computing integrals involving the matrix exponential; Rajendran et al. 2024, section 4.
    """
    a, b = numbers("zero_order_hold", "A", A), numbers("zero_order_hold", "B", B)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape[0] == 0:
        raise ValueError(f"zero_order_hold: found A of shape {a.shape}, wanted [d_x, d_x]")
    if b.ndim != 2 or b.shape[0] != a.shape[0]:
        raise ValueError(f"zero_order_hold: found B of shape {b.shape}, wanted [{a.shape[0]}, d_u] as A is {a.shape}")
    check_positive("zero_order_hold", "dt", dt, ())
    check_finite("zero_order_hold", "A", a)
    check_finite("zero_order_hold", "B", b)
    dtype = float_type(a, b)
    known = [concrete(value) for value in (a, b, dt)]
    if any(value is None for value in known):
        return _by_doubling(*(jnp.asarray(value, dtype) for value in (a, b, dt)))
    held = _on_host(*(np.asarray(value, np.float64) for value in known))
    largest = max(np.abs(part).max(initial=0.0) for part in held)
    if not largest <= float(jnp.finfo(dtype).max):
        raise ValueError(
            f"zero_order_hold: found exp(A dt) with entries up to {largest:.3g} for dt={known[2]}, wanted numbers that "
            f"{np.dtype(dtype).name} holds"
        )
    return jnp.asarray(held[0], dtype), jnp.asarray(held[1], dtype)


def _on_host(A, B, dt):
    num_states = A.shape[0]
    # B is scaled to entries of size 1: what B measures says nothing about how finely exp(A dt) must be cut.
    size = np.abs(B).max(initial=0.0) or 1.0
    block = np.zeros((sum(B.shape),) * 2)
    block[:num_states, :num_states], block[:num_states, num_states:] = A * dt, B / size * dt
    with np.errstate(all="ignore"):
        held = scipy.linalg.expm(block)
        return held[:num_states, :num_states], held[:num_states, num_states:] * size


def _by_doubling(A, B, dt):
    """Power series at A dt / 2^k of norm at most 1/2, then E <- E E, F <- F + E F k times: exp(A s), int exp(A s) B.

    As long as E is near I its distance from it is doubled instead, D <- 2 D + D D: of slow modes beside fast ones,
    E would keep nothing but a rounded 1.
    """
    identity = jnp.eye(A.shape[0], dtype=A.dtype)
    norm = jax.lax.stop_gradient(jnp.abs(A * dt).sum(axis=0).max())
    count = jnp.clip(jnp.frexp(norm)[1] + 1, 0, _DOUBLINGS)
    step = jnp.ldexp(dt, -count)
    small, series = A * step, identity
    for k in range(_TERMS.get(A.dtype, _TERMS_OTHERWISE), 1, -1):
        series = identity + product(small, series) / k
    distance = product(small, series)
    start = distance, identity + distance, product(series, B) * step

    def double(carry, number):
        wanted = number < count
        D, E, F = (jnp.where(wanted, x, 0.0) for x in carry)  # no overflow behind the last doubling, nor its gradient
        near = jax.lax.stop_gradient(jnp.abs(jnp.diagonal(D)).max()) < 0.25
        doubled, squared = 2 * D + product(D, D), product(E, E)
        D, E, F = (
            jnp.where(near, doubled, squared - identity),
            jnp.where(near, identity + doubled, squared),
            F + product(E, F),
        )
        return tuple(jnp.where(wanted, new, old) for new, old in zip((D, E, F), carry, strict=True)), None

    (_, held, driven), _ = jax.lax.scan(double, start, jnp.arange(_DOUBLINGS))
    return held, driven
