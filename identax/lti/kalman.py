"""Exact likelihood and smoothing of a linear system that is observed with noise."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_nonnegative, concrete
from identax.inputs import numbers
from identax.lti._checks import covariance_matrix, shaped, system_matrices
from identax.lti._kalman_steps import StateSpace, backward, decorrelated, forward, gaussian_terms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smoothed:
    """E[x_t | y_0 .. y_{T-1}] as `states` [T, d_x], and E[u_t | y_0 .. y_{T-1}] as `controls` [T - 1, d_u].

    The last control, u_{T-1}, acts after the last observation and is not among them.
    """

    states: Any
    controls: Any


def kalman_loglik(
    observations: ArrayLike,
    A: ArrayLike | Sequence[Any],
    B: ArrayLike | Sequence[Any],
    C: ArrayLike | Sequence[Any],
    *,
    control_mean: ArrayLike | Sequence[Any],
    control_variance: ArrayLike | Sequence[Any],
    observation_covariance: ArrayLike | Sequence[Any],
    process_covariance: ArrayLike | Sequence[Any] | None = None,
    initial_mean: ArrayLike | Sequence[Any] | None = None,
    initial_covariance: ArrayLike | Sequence[Any] | None = None,
) -> Float[Array, ""]:
    """log p(y_0 .. y_{T-1}) of one trajectory whose controls are not observed, in nats, with all constants.

        x_0 ~ N(initial_mean, initial_covariance),  y_t = C x_t + v_t,  x_{t+1} = A x_t + B u_t + w_t,
        u_t ~ N(control_mean, diag control_variance),
        v_t ~ N(0, observation_covariance),  w_t ~ N(0, process_covariance)

    `observations` [T, d_y]; `A` [d_x, d_x], `B` [d_x, d_u], `C` [d_y, d_x]; `control_mean`, `control_variance` [d_u]
    (>= 0); `observation_covariance` one variance, [d_y] variances or [d_y, d_y]; `process_covariance` [d_x, d_x], none
    by default; the state starts at exactly 0 by default. A [d_y, d_y] covariance is decorrelated first; then the
    outputs of a step are taken one after the other, with the Joseph form for the covariance, so that no matrix is
    inverted. No observation noise is allowed as long as every y_t has a density given the ones before it: not so
    where the state starts at a known point, nor with d_u < d_y.
    Raises `ValueError` for shapes that do not fit, non-finite values, covariances that are not positive semidefinite
    and, where concrete, observations without a density; the value is NaN for those inside compiled programs.
    Source: Kalman 1960; Koopman & Durbin 2000 (one output at a time); Rajendran et al. 2024, appendix C (the model).
    """
    model, y, _, _ = _prepared("kalman_loglik", **_arguments(locals()))
    value, ratio = _loglik(model, y)
    _check_density("kalman_loglik", ratio, y.dtype)
    return value


def kalman_smoother(
    observations: ArrayLike,
    A: ArrayLike | Sequence[Any],
    B: ArrayLike | Sequence[Any],
    C: ArrayLike | Sequence[Any],
    *,
    control_mean: ArrayLike | Sequence[Any],
    control_variance: ArrayLike | Sequence[Any],
    observation_covariance: ArrayLike | Sequence[Any],
    process_covariance: ArrayLike | Sequence[Any] | None = None,
    initial_mean: ArrayLike | Sequence[Any] | None = None,
    initial_covariance: ArrayLike | Sequence[Any] | None = None,
) -> Smoothed:
    """Expected states and controls given the whole trajectory; the model and arguments of `kalman_loglik`.

        E[x_t | y] = m_t + P_t r_t,  E[u_t | y] = control_mean + diag(control_variance) B^T r_{t+1}

    with m_t, P_t the mean and covariance of x_t given y_0 .. y_{t-1}, and r_t the gradient of log p(y_t .. y_{T-1} |
    y_0 .. y_{t-1}) with respect to m_t. No covariance of states is inverted: they may be singular.
    Raises `ValueError` as `kalman_loglik`.
    Source: De Jong 1989; Koopman 1993 (disturbance smoother); Durbin & Koopman 2012, chapter 4.
    """
    model, y, B, (mean, variance) = _prepared("kalman_smoother", **_arguments(locals()))
    states, adjoints, ratio = _smooth(model, y)
    _check_density("kalman_smoother", ratio, y.dtype)
    controls = jnp.matmul(adjoints[1:], B, precision=jax.lax.Precision.HIGHEST)
    return Smoothed(states, mean[None, :] + variance[None, :] * controls)


def joint_loglik(
    states: Any,
    observations: ArrayLike,
    A: Any,
    C: ArrayLike | Sequence[Any],
    state_covariance: ArrayLike | Sequence[Any],
    observation_covariance: ArrayLike | Sequence[Any],
    *,
    state_offset: ArrayLike | Sequence[Any] | None = None,
    initial_mean: ArrayLike | Sequence[Any] | None = None,
    initial_covariance: ArrayLike | Sequence[Any] | None = None,
) -> Float[Array, ""]:
    """log p(x_0 .. x_{T-1}, y_0 .. y_{T-1}) as the factors of a hidden Markov model, in nats.

        log p(x_0) + sum_{t>0} log N(x_t; A x_{t-1} + state_offset, state_covariance)
                   + sum_t log N(y_t; C x_t, observation_covariance)

    `states` [T, d_x], `observations` [T, d_y], `A` [d_x, d_x], `C` [d_y, d_x]; `state_covariance` is
    B diag(control_variance) B^T + process noise and `state_offset` [d_x] (0 by default) B control_mean; covariances as
    one variance, variances or a matrix. Without `initial_covariance` x_0 is given and has no factor; with it
    x_0 ~ N(initial_mean, initial_covariance), mean 0 by default.
    Raises `ValueError` for shapes that do not fit, non-finite values and, where concrete, singular covariances.
    Source: Rajendran et al. 2024, appendix C (factorisation of the hidden Markov model, one trajectory).
    """
    x, A = (jnp.asarray(numbers("joint_loglik", name, value)) for name, value in (("states", states), ("A", A)))
    y, A, _, C = system_matrices("joint_loglik", observations, A, jnp.zeros((*A.shape[:1], 1)), C)
    dtype, num_states = jnp.result_type(x, y), A.shape[0]
    x = shaped("joint_loglik", "states", x, (y.shape[0], num_states), dtype)
    offset = jnp.zeros(num_states, dtype) if state_offset is None else state_offset
    offset = shaped("joint_loglik", "state_offset", offset, (num_states,), dtype)
    step = covariance_matrix("joint_loglik", "state_covariance", state_covariance, num_states, dtype)
    noise = covariance_matrix("joint_loglik", "observation_covariance", observation_covariance, C.shape[0], dtype)
    highest = jax.lax.Precision.HIGHEST
    moved = x[1:] - jnp.matmul(x[:-1], A.T, precision=highest) - offset[None, :]
    total = _log_density("state_covariance", moved, step)
    total += _log_density("observation_covariance", y - jnp.matmul(x, C.T, precision=highest), noise)
    if initial_covariance is not None:
        start = jnp.zeros(num_states, dtype) if initial_mean is None else initial_mean
        start = shaped("joint_loglik", "initial_mean", start, (num_states,), dtype)
        spread = covariance_matrix("joint_loglik", "initial_covariance", initial_covariance, num_states, dtype)
        total += _log_density("initial_covariance", (x[0] - start)[None, :], spread)
    elif initial_mean is not None:
        raise ValueError("joint_loglik: found an initial_mean without initial_covariance, wanted both or neither")
    return total


def _log_density(name, errors, covariance):
    """Sum of log N(errors_t; 0, covariance) over the rows of errors [T, n]."""
    count, dim = errors.shape
    _, logdet = jnp.linalg.slogdet(covariance)
    known = concrete(logdet)
    if known is not None and not np.isfinite(known):
        raise ValueError(f"joint_loglik: found a singular {name}, wanted a positive definite one")
    squares = (errors.T * jnp.linalg.solve(covariance, errors.T)).sum()
    return -0.5 * (squares + count * (dim * math.log(2 * math.pi) + logdet))


@jax.jit
def _loglik(model, y):
    _, filtered = forward(model, y)
    return gaussian_terms(filtered).sum(), filtered.ratio.min()


@jax.jit
def _smooth(model, y):
    _, filtered = forward(model, y)
    states, adjoints = backward(model, filtered)
    return states, adjoints, filtered.ratio.min()


def _arguments(names):
    return {name: value for name, value in names.items() if not name.startswith("_")}


def _prepared(
    where, *, observations, A, B, C, control_mean, control_variance, observation_covariance, process_covariance,
    initial_mean, initial_covariance,
):  # fmt: skip
    """The model in canonical form: the observations decorrelated, the control part of the noise of the state."""
    y, A, B, C = system_matrices(where, observations, A, B, C)
    num_states, num_controls = B.shape
    mean = shaped(where, "control_mean", control_mean, (num_controls,), y.dtype)
    variance = shaped(where, "control_variance", control_variance, (num_controls,), y.dtype)
    check_nonnegative(where, "control_variance", variance)
    noise = covariance_matrix(where, "observation_covariance", observation_covariance, C.shape[0], y.dtype)
    zero = jnp.zeros((num_states, num_states), y.dtype)
    process = zero if process_covariance is None else process_covariance
    process = covariance_matrix(where, "process_covariance", process, num_states, y.dtype)
    start = jnp.zeros(num_states, y.dtype) if initial_mean is None else initial_mean
    start = shaped(where, "initial_mean", start, (num_states,), y.dtype)
    spread = zero if initial_covariance is None else initial_covariance
    spread = covariance_matrix(where, "initial_covariance", spread, num_states, y.dtype)
    highest = jax.lax.Precision.HIGHEST
    state_noise = jnp.matmul(B * variance[None, :], B.T, precision=highest) + process
    y, C, noise = decorrelated(y, C, noise)
    offset = jnp.matmul(B, mean, precision=highest)
    return StateSpace(A, offset, state_noise, C, noise, start, spread), y, B, (mean, variance)


def _check_density(where, ratio, dtype):
    known = concrete(ratio)
    if known is not None and not known > 0:
        raise ValueError(
            f"{where}: found an observation that the ones before it determine to within {np.dtype(dtype).name} "
            "rounding (its covariance is singular), wanted observation noise, or an uncertain start and as many "
            "controls as outputs"
        )
