"""Maximum likelihood of a linear system from noisy trajectories of several environments."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.typing import ArrayLike

from identax.checks import check_choice, check_finite, check_positive, check_real
from identax.dgp.lti_system import Environments, check_environments
from identax.lti._kalman_steps import StateSpace, loglik_of_settled

_WARM_UP = 128
_ROUND = 40  # iterations after which the curvature is measured anew
_REFUSED = 1e6  # the loss of parameters without a finite likelihood: the line search steps back from them


@dataclasses.dataclass(frozen=True)
class KalmanFit:
    """s_{t+1} = F s_t + G u_t, y_t = s_t + v_t at the highest likelihood found.

    `F` [d_y, d_y], `G` [d_y, d_u], `noise_variance` as the start had it (a number or [d_y]), `loglik` in nats of all
    trajectories, `start_loglik` that of the start, `converged` whether the gradient vanished, `iterations` of L-BFGS.
    """

    F: np.ndarray
    G: np.ndarray
    noise_variance: np.ndarray
    loglik: float
    start_loglik: float
    converged: bool
    iterations: int


def fit_kalman(
    observations: ArrayLike,
    environments: Environments,
    *,
    start: Sequence[Any],
    max_iterations: int = 200,
    tolerance: float = 1e-5,
    initial: str = "zero",
) -> KalmanFit:
    """Maximum likelihood of (F, G, noise variance) when neither the controls nor the noise are observed.

        s_{t+1} = F s_t + G u_t,  y_t = s_t + v_t,  u_t ~ N(mean_e, diag variance_e),  v_t ~ N(0, noise_variance)

    maximising the sum of `kalman_loglik` over environments: the system in the coordinates of its observations,
    F = C A C^-1 and G = C B for an invertible C. d_u <= d_y. The columns of G keep the order and scale that the
    variances give them, and their sign where means are known; the start decides about signs otherwise.
    `observations` [E, T, d_y], one trajectory for each environment; `start` (F, G, noise variance) with one variance
    or [d_y]; `initial`: the state starts at exactly 0 ("zero") or in the stationary law of its environment
    ("stationary"). L-BFGS in coordinates that whiten the curvature, measured anew every 40 iterations, until no
    whitened gradient of the mean log-likelihood exceeds `tolerance` / sqrt(E T); gains count as constant once that no
    longer changes the likelihood. A host program in float64: seconds for thousands of steps, not for jit or vmap. A
    local maximum: the start must have the right order of controls (closed forms find it from the variances).
    Raises `ValueError` for shapes that do not fit, non-finite numbers, a noise variance that is not positive and a
    start without a likelihood.
    Source: Rajendran et al. 2024 for the model; Kalman 1960 for its likelihood; Nocedal 1980 for L-BFGS.
    """
    check_real("fit_kalman", "observations", observations)
    y = np.asarray(observations, float)
    F, G, noise = _checked(y, environments, start, initial)
    if max_iterations < 1 or not tolerance > 0:
        raise ValueError(f"fit_kalman: found {max_iterations=}, {tolerance=}, wanted at least 1 and > 0")
    with jax.enable_x64(True):
        means, variances = (np.asarray(values, float) for values in (environments.means, environments.variances))
        problem = _Problem(y, means, variances, noise.shape, G.shape, initial)
        point = np.concatenate([F.ravel(), G.ravel(), np.log(noise).ravel()])
        first = problem.exact(point)
        if not np.isfinite(first):
            raise ValueError(f"fit_kalman: found a start of log-likelihood {first}, wanted a finite one")
        point, iterations, converged = _maximise(problem, point, max_iterations, tolerance)
        value = problem.exact(point)
    if not value >= first:
        point, value, converged = np.concatenate([F.ravel(), G.ravel(), np.log(noise).ravel()]), first, False
    return KalmanFit(*problem.split(point), value, first, converged, iterations)


class _Problem:
    """The mean negative log-likelihood of an observation as a function of (F, G, log noise), on the host."""

    def __init__(self, y, means, variances, noise_shape, control_shape, initial):
        self.data = tuple(jnp.asarray(values) for values in (y, means, variances))
        self.noise_shape, self.control_shape, self.initial = noise_shape, control_shape, initial
        self.size = y.shape[0] * y.shape[1]
        self.warm_up = min(_WARM_UP, y.shape[1])

    def split(self, point):
        """F, G and the noise variance."""
        dim, count = self.control_shape
        F, G, noise = np.split(np.asarray(point), [dim * dim, dim * dim + dim * count])
        return F.reshape(dim, dim), G.reshape(dim, count), np.exp(noise).reshape(self.noise_shape)

    def __call__(self, point):
        value, slope = _value_and_grad(point, *self.data, self.warm_up, self.initial)
        value, slope = float(value), np.asarray(slope)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return _REFUSED, np.zeros_like(slope)
        return value, slope

    def exact(self, point):
        """Log-likelihood of all trajectories with the gains of every step."""
        return -self.size * float(_value(point, *self.data, self.data[0].shape[1], self.initial))

    def settled(self, point):
        """Whether constant gains after the warm-up leave the log-likelihood as it is; a longer warm-up if not."""
        steps = self.data[0].shape[1]
        if self.warm_up == steps or abs(self.exact(point) + self.size * self(point)[0]) < 1e-4:
            return True
        self.warm_up = min(4 * self.warm_up, steps)
        return False


def _maximise(problem, point, max_iterations, tolerance):
    iterations, converged = 0, False
    problem.settled(point)
    while iterations < max_iterations:
        whiten = _whitening(problem, point)
        origin = point

        def whitened(z, origin=origin, whiten=whiten):
            value, slope = problem(origin + whiten @ z)
            return value, whiten.T @ slope

        limit = tolerance / np.sqrt(problem.size)
        result = scipy.optimize.minimize(
            whitened,
            np.zeros(point.size),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": min(_ROUND, max_iterations - iterations), "gtol": limit, "ftol": 1e-15, "maxcor": 20},
        )
        iterations += int(result.nit)
        point = origin + whiten @ result.x
        # Rounding may end a line search first: 100 times the limit still means a gap of 1e4 tolerance^2 nats.
        converged = bool(np.abs(result.jac).max() < 100 * limit) and problem.settled(point)
        if converged or result.nit == 0:
            break
    return point, iterations, converged


def _whitening(problem, point):
    """|Hessian|^-1/2 by central differences of the gradient, with the weakest curvatures raised."""
    F, G, _ = problem.split(point)
    typical = np.concatenate(
        [
            np.full(F.size, max(np.abs(F).max(), 0.1)),
            np.full(G.size, max(np.abs(G).max(), 1e-8)),
            np.full(point.size - F.size - G.size, 10.0),
        ]
    )
    rows = []
    for i, size in enumerate(1e-5 * typical):
        step = np.zeros(point.size)
        step[i] = size
        rows.append((problem(point + step)[1] - problem(point - step)[1]) / (2e-5))
    scaled = np.stack(rows) * typical[None, :]  # curvature in units of the typical sizes
    values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
    values = np.maximum(np.abs(values), 1e-6 * np.abs(values).max() + 1e-300)
    return typical[:, None] * vectors / np.sqrt(values)[None, :]


def _loss(point, y, means, variances, warm_up, initial):
    dim, count = y.shape[2], means.shape[1]
    F = point[: dim * dim].reshape(dim, dim)
    G = point[dim * dim : dim * dim + dim * count].reshape(dim, count)
    noise = jnp.broadcast_to(jnp.exp(point[dim * dim + dim * count :]), (dim,))

    def one(y, mean, variance):
        offset, state_noise = G @ mean, (G * variance[None, :]) @ G.T
        zero = jnp.zeros(dim), jnp.zeros((dim, dim))
        law = zero if initial == "zero" else _stationary(F, offset, state_noise)
        return loglik_of_settled(StateSpace(F, offset, state_noise, jnp.eye(dim), noise, *law), y, warm_up)

    return -jax.vmap(one)(y, means, variances).sum() / (y.shape[0] * y.shape[1])


_value = jax.jit(_loss, static_argnums=(4, 5))
_value_and_grad = jax.jit(jax.value_and_grad(_loss), static_argnums=(4, 5))


def _stationary(F, offset, state_noise):
    """Mean and covariance that s_{t+1} = F s_t + offset + noise keeps, by doubling; not finite for unstable F."""
    mean, covariance, power = offset, state_noise, F
    for _ in range(20):
        mean, covariance = mean + power @ mean, covariance + power @ covariance @ power.T
        power = power @ power
    return mean, covariance


def _checked(y, environments, start, initial):
    check_choice("fit_kalman", "initial", initial, ("zero", "stationary"))
    num, count = check_environments("fit_kalman", environments)
    if y.ndim != 3 or y.shape[0] != num or y.shape[1] < 2 or y.shape[2] < count:
        raise ValueError(
            f"fit_kalman: found observations {y.shape}, wanted [{num}, T, d_y] with T >= 2 and d_y >= {count} controls"
        )
    if len(start) != 3:
        raise ValueError(f"fit_kalman: found a start of {len(start)} parts, wanted (F, G, noise variance)")
    for name, part in zip(("F", "G", "noise variance"), start, strict=True):
        check_real("fit_kalman", name, part)
    F, G, noise = (np.asarray(part, float) for part in start)
    dim = y.shape[2]
    if F.shape != (dim, dim) or G.shape != (dim, count) or noise.shape not in ((), (dim,)):
        raise ValueError(
            f"fit_kalman: found a start of shapes {F.shape}, {G.shape}, {noise.shape}, wanted ({dim}, {dim}), "
            f"({dim}, {count}) and () or ({dim},)"
        )
    for name, values in (("observations", y), ("F", F), ("G", G), ("means", environments.means)):
        check_finite("fit_kalman", name, values)
    check_positive("fit_kalman", "noise variance", noise)
    return F, G, noise
