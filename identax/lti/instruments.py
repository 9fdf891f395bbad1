"""Dynamics from noisy observations by instrumental variables."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_finite, check_shape, concrete
from identax.inputs import centred
from identax.lti._checks import Data


def instrumental_regression(observations: Data, *, lags: int = 1) -> Float[Array, "d_y d_y"]:
    """F of s_{t+1} = F s_t + G u_t from y_t = s_t + white noise, by two-stage least squares.

        F = (Y+ Z^T)(Z Z^T)^-1 (Z Y^T) [(Y Z^T)(Z Z^T)^-1 (Z Y^T)]^-1,  one lag: F = (Y+ Z^T)(Y Z^T)^-1

    with columns y_{t+1} in Y+, y_t in Y and the instruments [y_{t-1}, .., y_{t-lags}] in Z, all centred in every
    environment (that is what dummies of the environments do). The noise of y_t correlates with y_t, which biases
    least squares, but not with earlier observations. Consistent for noise that is white in time and has any
    covariance. Of large variance where y_t and y_{t-1} correlate weakly in some direction, as with fast poles or an
    ill-conditioned C: least squares can then be nearer on trajectories of a few thousand steps, and without any
    correlation the result is arbitrary or NaN.
    `observations` [E, T, d_y], one trajectory for each environment.
    Raises `ValueError` for another shape, trajectories shorter than lags + 2, lags < 1 and, where concrete,
    observations that are not finite or a variable that is constant in every environment.
    Source: two-stage least squares, Soderstrom & Stoica 1983, Instrumental variable methods for system
    identification; for controls that are not observed, the past stands in for them.
    """
    check_shape("instrumental_regression", "observations", observations, ("E", "T", "d_y"))
    (y,) = centred("instrumental_regression", axis=1, observations=observations)
    if lags < 1 or y.shape[1] < lags + 2:
        raise ValueError(
            f"instrumental_regression: found lags={lags} with trajectories of {y.shape[1]} observations, wanted "
            "lags >= 1 and at least lags + 2 observations"
        )
    check_finite("instrumental_regression", "observations", y)
    known = concrete(y)
    still = [] if known is None else np.flatnonzero((np.ptp(known, axis=1) == 0).all(axis=0)).tolist()
    if still:
        raise ValueError(
            f"instrumental_regression: found variables {still} of observations constant in every environment, wanted "
            "ones that vary: nothing tells their dynamics"
        )
    y = jnp.asarray(y)
    last = y.shape[1] - 1

    def window(start):
        part = y[:, start : start + last - lags]
        return part - part.mean(axis=1, keepdims=True)

    after, now = window(lags + 1), window(lags)
    instruments = jnp.concatenate([window(lags - k) for k in range(1, lags + 1)], axis=2)
    scale = jnp.sqrt((instruments**2).mean(axis=(0, 1), keepdims=True))
    instruments = instruments / jnp.where(scale > 0, scale, 1.0)
    to_after, to_now = _moment(after, instruments), _moment(now, instruments)
    with jax.default_matmul_precision("highest"):
        if lags > 1:
            projection = to_now @ jnp.linalg.inv(_moment(instruments, instruments))
            to_after, to_now = to_after @ projection.T, to_now @ projection.T
        return to_after @ jnp.linalg.inv(to_now)


def _moment(left, right):
    size = left.shape[0] * left.shape[1]
    return jnp.einsum("eti,etj->ij", left, right, precision=jax.lax.Precision.HIGHEST) / size
