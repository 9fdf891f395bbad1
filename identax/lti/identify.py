"""The front door: identify a linear system from observations in several environments, in one call."""

import dataclasses
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.assumptions.lti import excitation_report
from identax.checks import check_choice, check_count
from identax.columns import whole_number
from identax.dgp.lti_system import Environments, LinearSystem
from identax.lti import closed_form, instruments, kalman_fit, mle, published
from identax.lti._arrange import Arranged, arrange
from identax.lti.moments import Moments, conditional_value, reduced_moments
from identax.lti.realisation import markov_parameters

METHODS = ("conditional", "closed_form", "instrumental", "kalman", "published")


@dataclasses.dataclass(frozen=True)
class Identification:
    """What was found; arrays are NumPy float64.

    `system` in the coordinates of the observations: A = F = C A C^-1, B = C B, C = I; any similarity of it is as good.
    `unmixing` [d_u, 2 d_y]: controls u_t = W [y_t, y_{t+1}]. `loglik`: mean conditional log-likelihood per transition
    (None for the published method, whose objective is no likelihood; for `kalman` the mean per observation).
    `standard_errors` of "A", "B" and "unmixing", from the curvature of the log-likelihood (`conditional` only).
    `noise_variance` of the observations (`kalman` only). `undetermined`: what the data cannot tell, in words.
    `diagnostics`: numbers about the fit (spectral radius, residual correlation, iterations, convergence).
    """

    method: str
    system: LinearSystem
    unmixing: np.ndarray
    loglik: float | None
    standard_errors: Mapping[str, np.ndarray]
    noise_variance: float | None
    undetermined: tuple[str, ...]
    diagnostics: Mapping[str, float]
    premises: Any

    def controls(self, observations: ArrayLike) -> np.ndarray:
        """Controls [N - 1, d_u] between consecutive rows of one trajectory of observations [N, d_y]."""
        y = np.asarray(observations, float)
        if y.ndim != 2 or y.shape[1] * 2 != self.unmixing.shape[1]:
            wanted = self.unmixing.shape[1] // 2
            raise ValueError(f"controls: found observations of shape {y.shape}, wanted [N, {wanted}]")
        return np.concatenate([y[:-1], y[1:]], axis=1) @ self.unmixing.T

    def markov_parameters(self, count: int) -> np.ndarray:
        """CB, CAB, ... [count, d_y, d_u]."""
        with jax.enable_x64(True):
            return np.asarray(markov_parameters(self.system.A, self.system.B, self.system.C, count))


def identify_lti(
    observations: ArrayLike,
    environments: ArrayLike,
    variances: ArrayLike,
    means: ArrayLike | None = None,
    *,
    method: str = "conditional",
    stride: int = 1,
    restarts: int = 0,
    seed: int = 0,
) -> Identification:
    """Identifies y_{t+1} = F y_t + CB u_t from environments that differ in the variances of the unseen control u.

    `observations` [N, d_y] in order of time; `environments` [N], integers 0..E-1: a run of equal labels is one
    trajectory. `variances`, `means` [E, d_u] of the control in each environment (no means: zero), d_u <= d_y.
    `stride` 1 uses every transition, 2 the non-overlapping pairs of the paper. `restarts` (`conditional` only): so many
    random starts, of `seed`, beside the closed form; the best likelihood wins, and `diagnostics["starts at the best"]`
    is the share of all starts that reached it.

    * `"conditional"`: maximum likelihood with the Jacobian, from the closed form (default)
    * `"closed_form"`: regression on the past, joint diagonalisation of the residuals' covariances
    * `"instrumental"`: as the closed form with lagged observations as instruments: consistent under observation noise
    * `"kalman"`: maximum likelihood of whole trajectories with observation noise of unknown variance
    * `"published"`: optimum of the published objective, which is not the true system (kept for comparison)

    Warns (`UserWarning`) where the design leaves something open, and says in `undetermined` what. Works in float64.
    Raises `ValueError` for shapes and labels that do not fit, non-finite data, variances that are not positive, too
    few samples in an environment, d_u > d_y and an unknown method.
    Source: model of Rajendran et al. 2024; the estimators' own sources stand at their functions.
    """
    check_choice("identify_lti", "method", method, METHODS)
    check_count("identify_lti", "restarts", restarts, 0)
    seed = whole_number("identify_lti: seed", seed, 0, 2**63)
    if restarts and method != "conditional":
        raise ValueError(f"identify_lti: found {restarts=} with {method=}, wanted 0 or more, of 'conditional' alone")
    given = arrange("identify_lti", observations, environments, variances, means, stride)
    with jax.enable_x64(True):
        design = Environments(jnp.asarray(given.means), jnp.asarray(given.variances))
        moments = given.moments()
        identify = partial(_conditional, restarts=restarts, seed=seed) if restarts else _METHODS[method]
        found = identify(given, moments, design)
        return _finish(method, given, moments, design, found)


@dataclasses.dataclass(frozen=True)
class _Found:
    transition: Any
    effect: Any
    unmixing: Any
    loglik: float | None = None
    standard_errors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    noise_variance: float | None = None
    diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)


# Compiled whole: operation by operation a first call compiles some four hundred programs.
_unmixing = jax.jit(closed_form.closed_form_unmixing)
_innovations = jax.jit(closed_form.innovation_regression)
_instrumental_regression = jax.jit(instruments.instrumental_regression)
_value = jax.jit(conditional_value)


def _closed_form(given: Arranged, moments: Moments, design: Environments, transition=None) -> _Found:
    unmixing = _unmixing(moments, design.means, design.variances, transition=transition)
    if transition is None:
        transition = _innovations(moments).transition
    dim, rank = moments.dim, design.variances.shape[1]
    if not np.isfinite(unmixing).all():
        raise ValueError(
            "identify_lti: found observations from which no finite unmixing follows: they are constant, vary in fewer "
            f"directions than the {rank} controls, or are too large to square; wanted some that the controls move"
        )
    effect = np.linalg.pinv(np.asarray(unmixing[:, dim:]))
    value = _value(unmixing, moments, design.means, design.variances) if rank == dim else None
    return _Found(transition, effect, unmixing, None if value is None else float(value))


def _instrumental(given: Arranged, moments: Moments, design: Environments) -> _Found:
    transition = _instrumental_regression(jnp.asarray(given.blocks("instrumental")))
    return _closed_form(given, moments, design, transition)


def _conditional(given: Arranged, moments: Moments, design: Environments, restarts=0, seed=0) -> _Found:
    start = _closed_form(given, moments, design)
    fit, values, best, hessian, slopes = _maximum(moments, design, start.unmixing, jax.random.key(seed), restarts)
    errors = _standard_errors(np.asarray(hessian), slopes, given.num_transitions)
    numbers = {"iterations": float(fit.iterations), "converged": float(fit.converged)}
    if restarts:
        numbers["starts at the best"] = float(np.mean(np.asarray(values) > float(fit.loglik) - 1e-8))
    return _Found(
        best["A"], best["B"], best["unmixing"], float(fit.loglik), standard_errors=errors, diagnostics=numbers
    )


@partial(jax.jit, static_argnames="restarts")
def _maximum(moments: Moments, design: Environments, first, key, restarts: int):
    """The best fit from `first` and random starts, the value of each, its system; Hessian and slopes at the optimum."""
    dim, rank = moments.dim, design.variances.shape[1]
    innovations = closed_form.innovation_regression(moments)
    pooled = jnp.tensordot(moments.share, innovations.covariance, axes=1)
    span = jnp.eye(dim) if rank == dim else closed_form.residual_range(pooled, rank)
    reduced = reduced_moments(moments, span)
    starts = jnp.concatenate([first[:, :dim], first[:, dim:] @ span.T], axis=1)[None]
    if restarts:
        starts = jnp.concatenate([starts, mle.random_starts(key, reduced, rank, restarts)])
    fit, values = mle.fit_from_starts(reduced, design.means, design.variances, starts, max_iterations=5000)
    outside = (jnp.eye(dim) - span.T @ span) @ innovations.transition

    def parameters(unmixing):
        effect = jnp.linalg.inv(unmixing[:, dim:])
        return {
            "A": outside - span.T @ effect @ unmixing[:, :dim],
            "B": span.T @ effect,
            "unmixing": jnp.concatenate([unmixing[:, :dim], unmixing[:, dim:] @ span], axis=1),
        }

    value = partial(conditional_value, moments=reduced, means=design.means, variances=design.variances)
    best, slopes = parameters(fit.unmixing), jax.jacobian(parameters)(fit.unmixing)
    return fit, values, best, jax.hessian(value)(fit.unmixing), slopes


def _standard_errors(hessian: np.ndarray, slopes: Mapping[str, Any], count: int) -> dict[str, np.ndarray]:
    """Delta method: covariance of W is the inverse of count x the negative Hessian of the mean log-likelihood."""
    size = hessian.shape[0] * hessian.shape[1]
    covariance = np.linalg.pinv(-hessian.reshape(size, size), hermitian=True) / count
    made = {}
    for name, slope in slopes.items():
        flat = np.asarray(slope).reshape(-1, size)
        variance = np.einsum("ap,pq,aq->a", flat, covariance, flat)
        made[name] = np.sqrt(np.maximum(variance, 0.0)).reshape(slope.shape[:2])
    return made


def _kalman(given: Arranged, moments: Moments, design: Environments) -> _Found:
    blocks = jnp.asarray(given.blocks("kalman"))
    first = _closed_form(given, moments, design)
    start = np.asarray(first.transition), np.asarray(first.effect)
    # Too small a variance to start from ends at a local maximum now and then, so two guesses: a share of the
    # observations' variance, and half of what the residual has in its quietest direction.
    size = float(np.trace(np.asarray(moments.covariance).mean(axis=0))) / (2 * moments.dim)
    pooled = np.tensordot(moments.share, _innovations(moments).covariance, axes=1)
    guesses = 1e-2 * size, max(float(np.linalg.eigvalsh(pooled)[0]) / 2, 1e-6 * size)
    fits = [kalman_fit.fit_kalman(blocks, design, start=(*start, guess)) for guess in guesses]
    fit = max(fits, key=lambda one: one.loglik)
    effect = np.asarray(fit.G)
    inverse = np.linalg.pinv(effect)
    unmixing = np.concatenate([-inverse @ np.asarray(fit.F), inverse], axis=1)
    numbers = {"iterations": float(fit.iterations), "converged": float(fit.converged)}
    loglik = float(fit.loglik) / (blocks.shape[0] * blocks.shape[1])
    noise = float(np.mean(np.asarray(fit.noise_variance)))
    return _Found(fit.F, effect, unmixing, loglik, noise_variance=noise, diagnostics=numbers)


def _published(given: Arranged, moments: Moments, design: Environments) -> _Found:
    pairs, label = jnp.asarray(given.pairs), np.asarray(given.labels)
    if np.any(np.asarray(given.means)):
        unmixing = published.wls_unmixing(pairs, given.means[label], given.variances[label])
    else:
        unmixing = published.decay_limit(moments, design.variances)
    dim = moments.dim
    effect = np.linalg.pinv(np.asarray(unmixing[:, dim:]))
    return _Found(-effect @ np.asarray(unmixing[:, :dim]), effect, unmixing)


_METHODS = {
    "conditional": _conditional,
    "closed_form": _closed_form,
    "instrumental": _instrumental,
    "kalman": _kalman,
    "published": _published,
}


def _finish(method, given: Arranged, moments: Moments, design: Environments, found: _Found) -> Identification:
    premises = excitation_report(Environments(given.means, given.variances))
    transition, effect, unmixing = (np.asarray(x, float) for x in (found.transition, found.effect, found.unmixing))
    correlation = given.residual_correlation(transition)
    numbers = {
        "spectral_radius": float(np.abs(np.linalg.eigvals(transition)).max()),
        "residual_correlation": correlation,
        "condition_of_CB": float(np.linalg.cond(effect)),
        **found.diagnostics,
    }
    open_points = _undetermined(method, given, premises, numbers)
    for point in open_points:
        if not point.startswith("always"):
            warnings.warn(f"identify_lti: {point}", UserWarning, stacklevel=3)
    system = LinearSystem(transition, effect, np.eye(given.dim))
    return Identification(
        method,
        system,
        unmixing,
        found.loglik,
        found.standard_errors,
        found.noise_variance,
        tuple(open_points),
        numbers,
        premises,
    )


def _undetermined(method: str, given: Arranged, premises, numbers) -> list[str]:
    points = ["always: the basis of the state (A, B, C up to similarity)"]
    for block in (block for block in premises.blocks if len(block) > 1):
        points.append(
            f"controls {list(block)} have proportional variances in all environments: "
            "they stay mixed by an unknown rotation"
        )
    signless = [i for i in range(given.variances.shape[1]) if not np.any(given.means[:, i])]
    if signless:
        points.append(f"always with zero means: the signs of controls {signless}")
    if method == "published":
        points.append("the published objective leaves out the Jacobian: its optimum is not the true system")
    if method in ("conditional", "closed_form") and abs(numbers["residual_correlation"]) > given.correlation_bound:
        points.append(
            f"residuals are correlated in time ({numbers['residual_correlation']:.3f}): observation noise, or more "
            "states than observations, biases this method; try method='kalman'"
        )
    if numbers.get("converged") == 0.0:
        points.append(f"the maximum was not reached in {numbers['iterations']:.0f} iterations")
    if numbers["spectral_radius"] >= 1:
        points.append(f"the system found is not stable: spectral radius {numbers['spectral_radius']:.4g}")
    return points
