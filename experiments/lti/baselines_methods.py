"""Baselines for the linear-system study: oracles that know the controls, a pooled likelihood, packages on the host."""

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from experiments.lti import estimators
from experiments.lti.worlds import World, true_transition
from identax.lti import Environments, fit_kalman, identify_lti, kalman_smoother, transfer_function
from identax.lti.closed_form import closed_form_unmixing, innovation_regression
from identax.lti.mle import ConditionalFit, fit_conditional
from identax.lti.moments import Moments, pair_moments
from identax.lti.published import decay_limit, solve_scaled, wls_of_moments
from identax.metrics import mcc, relative_error, within_mcc
from identax.metrics.linear_systems import frequency_grid
from identax.numerics import psd_eigh
from identax.rng import stream

PACKAGES = {"N4SID": "nfoursid", "coroICA": "coroica", "coroICA of y": "coroica"}
"""method -> the optional package that it is"""
INSTALL = "pip install -e .[baselines]"
KALMAN = ("Kalman", "pooled Kalman")
MAXIMISERS = "all maximisers of pooled"
QUANTITIES = ("MCC", "within MCC", "Amari distance", "error of F", "error of H")


def installed(method: str) -> bool:
    """Whether the package of `method` can be imported; True for methods that need none."""
    return method not in PACKAGES or importlib.util.find_spec(PACKAGES[method]) is not None


# ---- in the compiled trial


def compiled_unmixings(key, world: World, zero_means) -> dict[str, Any]:
    """method -> W [d, 2 d] of every method that is a pure function.

    The first three know labels, means and variances, `oracle` the controls alone, `pooled` nothing but the pairs.
    """
    moments = pair_moments(world.pairs)
    means, variances = world.environments.means, world.environments.variances
    closed = closed_form_unmixing(moments, means, variances)
    return {
        "published": jnp.where(
            zero_means > 0, decay_limit(moments, variances), wls_of_moments(moments, means, variances)
        ),
        "closed form": closed,
        "conditional": fit_conditional(moments, means, variances, closed).unmixing,
        "oracle": oracle_unmixing(world),
        "pooled": pooled_fit(key, world).unmixing,
    }


def oracle_unmixing(world: World):
    """G^+ [-F, I] for least squares of y_{t+1} = F y_t + G u_t over all environments, with the controls known."""
    dim = world.controls.shape[-1]
    past, now = world.pairs[:, :, 0].reshape(-1, dim), world.pairs[:, :, 1].reshape(-1, dim)
    known = jnp.concatenate([past, world.controls.reshape(-1, dim)], axis=1)
    found = solve_scaled(known.T @ known, known.T @ now).T
    return _unmixing(found[:, :dim], found[:, dim:])


def pooled_fit(key, world: World) -> ConditionalFit:
    """Maximum of the conditional likelihood without labels: one environment, unit variances, from a random start.

    The likelihood of y_{t+1} | y_t ~ N(F y_t + c, G G^T) does not change along G -> G R for orthogonal R, so where the
    fit ends depends on its start: Gaussian entries, in coordinates in which the residual is white, prefer no R.
    """
    moments = pair_moments(world.pairs.reshape(1, -1, *world.pairs.shape[2:]))
    centred = Moments(moments.share, jnp.zeros_like(moments.mean), moments.covariance)  # c is profiled out
    dim = moments.dim
    values, vectors = psd_eigh(innovation_regression(moments).covariance)
    white = (vectors[0] * jax.lax.rsqrt(values[0])[None, :]).T
    start = jax.random.normal(stream(key, "pooled start"), (dim, dim)) @ white
    start = jnp.concatenate([jnp.zeros_like(start), start], axis=1)
    return fit_conditional(centred, jnp.zeros((1, dim)), jnp.ones((1, dim)), start)


@jax.jit
def _unmixing(transition, gain):
    return jnp.linalg.inv(gain) @ jnp.concatenate([-transition, jnp.eye(len(gain))], axis=1)


# ---- on the host, one world at a time


@jax.jit
def _regressed(pairs):
    return innovation_regression(pair_moments(pairs))


def n4sid(world: World, num_samples: int, block_rows: int):
    """State space (A, B, C, D) from the first observations of environment 0 with their controls, by `nfoursid`."""
    import pandas  # it comes with nfoursid
    from nfoursid.nfoursid import NFourSID  # pyright: ignore[reportMissingImports]

    dim = world.controls.shape[-1]
    y, u = (np.asarray(values)[:num_samples] for values in (world.pairs[0, :, 0], world.controls[0]))
    outputs, inputs = [[f"{name}{i}" for i in range(dim)] for name in "yu"]
    frame = pandas.DataFrame(np.concatenate([y, u], axis=1), columns=outputs + inputs)
    model = NFourSID(frame, output_columns=outputs, input_columns=inputs, num_block_rows=block_rows)
    model.subspace_identification()
    found, _ = model.system_identification(rank=dim)
    return found.a, found.b, found.c, found.d


def n4sid_scores(world: World, num_samples: int, block_rows: int) -> dict[str, float]:
    """The common scores of (F, G) = (C A C^-1, C B), and errors with the package's own D, inputs as they are."""
    A, B, C, D = n4sid(world, num_samples, block_rows)
    found = _scores(world, _unmixing(jnp.asarray(C @ A @ np.linalg.inv(C)), jnp.asarray(C @ B)))
    return found | {"error of H, inputs known": float(_response_error(A, B, C, D, world.system))}


@jax.jit
def _response_error(A, B, C, D, true):
    grid = frequency_grid(16)
    found, wanted = transfer_function(A, B, C, grid) + D[None], transfer_function(true.A, true.B, true.C, grid)
    return relative_error(found.reshape(len(grid), -1), wanted.reshape(len(grid), -1))


def coroica_unmixing(world: World, *, of_residuals: bool):
    """V [-F, I] for the joint diagonaliser V of `coroica`: environments are its partitions, all of one group.

    `of_residuals`: F is regressed on the past, and V unmixes what is left. Otherwise V unmixes y, and F = 0. Each
    environment is centred: the package compares it with all others together, whose means would count as variance.
    """
    from coroica import CoroICA  # pyright: ignore[reportMissingImports]

    num, count, _, dim = world.pairs.shape
    transition = _regressed(world.pairs).transition if of_residuals else jnp.zeros((dim, dim))
    residual = np.asarray(world.pairs[:, :, 1] - world.pairs[:, :, 0] @ transition.T)
    centred = (residual - residual.mean(axis=1, keepdims=True)).reshape(-1, dim)
    model = CoroICA(random_state=0)
    model.fit(centred, group_index=np.zeros(num * count), partition_index=np.repeat(np.arange(num), count))
    base = jnp.concatenate([-transition, jnp.eye(dim)], axis=1)
    return jnp.asarray(model.V_) @ base


def kalman_scores(world: World) -> dict[str, float]:
    """Maximum likelihood of whole trajectories with observation noise, labels and variances known."""
    y, dim = _trajectories(world), world.controls.shape[-1]
    labels = np.repeat(np.arange(len(y)), y.shape[1])
    means, variances = world.environments.means, world.environments.variances
    with warnings.catch_warnings():  # of close variance profiles: the table says for which systems they are distinct
        warnings.simplefilter("ignore", UserWarning)
        found = identify_lti(y.reshape(-1, dim), labels, variances, means, method="kalman")
    if not found.diagnostics["converged"]:
        return {}
    return _smoothed_scores(world, y, found.system.A, found.system.B, found.noise_variance, world.environments)


def pooled_kalman_scores(key, world: World) -> dict[str, float]:
    """The same with one law N(0, I) of all controls, from a randomly rotated G: no labels, no variances."""
    y, dim = _trajectories(world), world.controls.shape[-1]
    innovations = _regressed(world.pairs.reshape(1, -1, 2, dim))
    turn, _ = np.linalg.qr(np.asarray(jax.random.normal(stream(key, "pooled start"), (dim, dim))))
    gain = np.linalg.cholesky(np.asarray(innovations.covariance[0])) @ turn
    one_law = Environments(np.zeros((len(y), dim)), np.ones((len(y), dim)))
    noise = 1e-3 * float(np.trace(innovations.covariance[0])) / dim
    fit = fit_kalman(y, one_law, start=(np.asarray(innovations.transition), gain, noise))
    if not fit.converged:
        return {}
    return _smoothed_scores(world, y, fit.F, fit.G, fit.noise_variance, one_law)


def _smoothed_scores(world, y, F, G, noise, environments) -> dict[str, float]:
    """The common scores; but controls are those expected given whole trajectories, not read off noisy pairs."""
    eye = np.eye(len(F))
    smoothed = []
    for observed, mean, variance in zip(y, environments.means, environments.variances, strict=True):
        law = {"control_mean": mean, "control_variance": variance, "observation_covariance": float(noise) * eye}
        smoothed.append(kalman_smoother(observed, F, G, eye, **law).controls)
    found, flat = jnp.stack(smoothed), world.controls.reshape(-1, len(F))
    return _scores(world, _unmixing(jnp.asarray(F), jnp.asarray(G))) | {
        "MCC": float(mcc(flat, found.reshape(flat.shape))),
        "within MCC": float(within_mcc(world.controls, found)),
        "error of F": float(relative_error(jnp.asarray(F), true_transition(world.system))),
    }


def _trajectories(world: World) -> np.ndarray:
    """Observations [E, n, d] from all transitions (stride 1)."""
    return np.concatenate([world.pairs[:, :, 0], world.pairs[:, -1:, 1]], axis=1)


def maximisers_mcc(key, world: World, num_draws: int = 256) -> float:
    """Mean MCC over the maximisers of the pooled likelihood, R S^-1/2 [-F, I] for random rotations R of this world.

    That of a random rotation where the controls have one mean; less where means differ, because F is biased then: a
    control's mean stays what it is, and so do y's, so that y_t tells of it.
    """
    dim = world.controls.shape[-1]
    found = _regressed(world.pairs.reshape(1, -1, 2, dim))
    residual = np.asarray(world.pairs[:, :, 1] - world.pairs[:, :, 0] @ found.transition.T).reshape(-1, dim)
    controls = np.asarray(world.controls).reshape(-1, dim)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(residual.T)), residual.T)
    correlations = np.corrcoef(controls.T, white)[:dim, dim:]
    scores = np.abs(correlations @ np.asarray(jax.random.orthogonal(key, dim, (num_draws,))))
    return float(np.mean([one[linear_sum_assignment(-one)].mean() for one in scores]))


@jax.jit
def _compiled_scores(world: World, unmixing):
    return estimators.scores(jax.random.key(0), world, unmixing, 64, 1)


def _scores(world: World, unmixing) -> dict[str, float]:
    return {name: float(value) for name, value in _compiled_scores(world, unmixing).items()}


ON_HOST: dict[str, Callable[[Any, World, Any], dict[str, float]]] = {
    "N4SID": lambda key, world, config: n4sid_scores(world, config.n4sid_samples, config.block_rows),
    "coroICA": lambda key, world, config: _scores(world, coroica_unmixing(world, of_residuals=True)),
    "coroICA of y": lambda key, world, config: _scores(world, coroica_unmixing(world, of_residuals=False)),
    "Kalman": lambda key, world, config: kalman_scores(world),
    "pooled Kalman": lambda key, world, config: pooled_kalman_scores(key, world),
    MAXIMISERS: lambda key, world, config: {"MCC": maximisers_mcc(stream(key, "levels"), world)},
}
"""method -> scores of one trial; of no names but `quantities_of(method)`"""


def quantities_of(method: str) -> tuple[str, ...]:
    """Names of the scores of a method on the host."""
    if method == MAXIMISERS:
        return ("MCC",)
    return (*QUANTITIES, "error of H, inputs known") if method == "N4SID" else QUANTITIES


def scores_or_nan(method: str, run: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """What `run()` returns of `quantities_of(method)`; NaN where the method fails, which is a result and no fault."""
    try:
        found = run()
    except (ValueError, np.linalg.LinAlgError):
        found = {}
    return {name: found.get(name, np.nan) for name in quantities_of(method)}
