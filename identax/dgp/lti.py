"""Linear-Gaussian systems: random ones, and trajectories of them under designed controls."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_choice, check_count, check_nonnegative, concrete
from identax.dgp.lti_system import Environments, LinearSystem, check_environments
from identax.inputs import numbers
from identax.numerics import product
from identax.rng import stream

METHODS = ("scan", "associative")
NOISE_CONVENTIONS = ("variance", "published")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectories:
    """One trajectory per environment: `observations` [E, n, d_y], `states` [E, n, d_x], `controls` [E, n, d_u]."""

    observations: Any
    states: Any
    controls: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pairs:
    """Transitions: `observations` [E, P, 2, d_y] = (y_t, y_{t+1}) and the `controls` [E, P, d_u] = u_t between."""

    observations: Any
    controls: Any


def spectral_radius(A: Any) -> Float[Array, ""]:
    """Largest modulus of an eigenvalue of a real matrix, by repeated squaring.

        rho(A) = lim_{k -> oo} ||A^k||^{1/k},    k = 2^m,    A^{2k} = (A^k)^2, rescaled to norm 1 each time

    What the limit leaves out is log(const)/2^m, far below rounding; complex pairs and defective eigenvalues included.
    Matrix products only: LAPACK's eigenvalues of a general matrix run on CPU alone. Maps over batches.
    No gradient flows: that of ||A^k||^{1/k} has no limit for complex pairs.
    Raises `ValueError` unless A is square and real.
    """
    A = numbers("spectral_radius", "A", A)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] < 1:
        raise ValueError(f"spectral_radius: found A of shape {A.shape}, wanted [d, d]")
    return _radius(jnp.asarray(A, jnp.result_type(float, A)))


def random_system(
    key: Key[Array, ""],
    dim: int,
    *,
    triangular: bool = False,
    use_B: bool = True,
    use_C: bool = True,
    spectral_radius: ArrayLike = 0.9,
) -> LinearSystem:
    """A square system of Gaussian entries, with A scaled to a spectral radius.

        A, B, C ~ N(0, 1)^{dim x dim},    A <- spectral_radius * A / max_i |eig_i(A)|

    `triangular` keeps A's lower triangle; without `use_B` (`use_C`) B (C) is the identity. Maps over keys and compiles.
    Such systems are controllable and observable with probability one, so nothing is redrawn; `identax.assumptions`
    reports the ranks. Neither B nor C is well conditioned: cond(CB) of a hundred is common.
    Raises `ValueError` for dim < 1 or a spectral radius outside (0, 1).
    Source: Rajendran et al. 2024, section 4 and appendix D.
    """
    check_count("random_system", "dim", dim)
    known = concrete(spectral_radius)
    if known is not None and not (known.ndim == 0 and 0 < known < 1):
        raise ValueError(f"random_system: found spectral_radius={known}, wanted one number in (0, 1), a stable system")
    draw = jax.random.normal(stream(key, "A"), (dim, dim))
    A = jnp.tril(draw) if triangular else draw
    radius = jnp.max(jnp.abs(jnp.diagonal(A))) if triangular else _radius(A)
    eye = jnp.eye(dim, dtype=A.dtype)
    B = jax.random.normal(stream(key, "B"), (dim, dim)) if use_B else eye
    C = jax.random.normal(stream(key, "C"), (dim, dim)) if use_C else eye
    return LinearSystem((spectral_radius / radius).astype(A.dtype) * A, B, C)


def check_stable(system: LinearSystem) -> None:
    """Raises `ValueError` unless every eigenvalue of A (one, or a stack [..., d_x, d_x]) is inside the unit circle.

    A traced system passes.
    """
    known = concrete(system.A)
    if known is None:
        return
    if not np.isfinite(known).all():
        raise ValueError("check_stable: found a system with non-finite entries in A, wanted finite ones")
    radii = np.abs(np.linalg.eigvals(known.astype(np.float64))).max(axis=-1)
    if not (radii < 1).all():
        raise ValueError(
            f"check_stable: found spectral radius {radii.max():.4g} of A, wanted < 1: the state grows without bound"
        )


def simulate(
    system: LinearSystem,
    controls: ArrayLike,
    *,
    initial_state: ArrayLike | None = None,
    process_noise: ArrayLike | None = None,
    observation_noise: ArrayLike | None = None,
    method: str = "scan",
) -> tuple[Float[Array, "n d_y"], Float[Array, "n d_x"]]:
    """Runs one trajectory of n steps from `initial_state` (0 by default).

        x_{t+1} = A x_t + B u_t + w_t,    y_t = C x_t + v_t,    t = 0..n-1

    `controls` [n, d_u] with n >= 1; `initial_state` [d_x], `process_noise` w [n, d_x], `observation_noise` v [n, d_y].
    The last control and its w move the state after the last sample, so they have no effect. `method` "associative"
    composes the affine steps in a tree, O(log n) deep with d_x times the work: for accelerators. Stability is not
    asked for. Map over environments and systems with `jax.vmap`. Returns (observations, states).
    Raises `ValueError` for shapes that do not fit together and unknown methods.
    Source: Rajendran et al. 2024, section 2.
    """
    check_choice("simulate", "method", method, METHODS)
    d_x, d_u, d_y = _dims("simulate", system)
    n = np.shape(controls)[0] if np.ndim(controls) == 2 else 0
    wanted = {
        "controls": (controls, (n, d_u)),
        "initial_state": (initial_state, (d_x,)),
        "process_noise": (process_noise, (n, d_x)),
        "observation_noise": (observation_noise, (n, d_y)),
    }
    for name, (value, shape) in wanted.items():
        if value is not None and (np.shape(value) != shape or n < 1):
            text = str(shape) if n else f"[n, {d_u}] with n >= 1"
            raise ValueError(f"simulate: found {name} of shape {np.shape(value)}, wanted {text}")
    given = [v for v in (initial_state, process_noise, observation_noise) if v is not None]
    dtype = jnp.result_type(float, system.A, system.B, system.C, controls, *given)
    A, B, C = (jnp.asarray(matrix, dtype) for matrix in (system.A, system.B, system.C))
    pushes = product(jnp.asarray(controls, dtype)[:-1], B.T)
    if process_noise is not None:
        pushes = pushes + jnp.asarray(process_noise, dtype)[:-1]
    start = jnp.zeros(d_x, dtype) if initial_state is None else jnp.asarray(initial_state, dtype)
    states = (_scan if method == "scan" else _associative)(A, start, pushes)
    observations = product(states, C.T)
    return observations if observation_noise is None else observations + jnp.asarray(observation_noise, dtype), states


def sample_controls(key: Key[Array, ""], environments: Environments, n: int) -> Float[Array, "E n d_u"]:
    """Draws u_t^e ~ N(mean_e, diag variance_e), independent over t and components; n per environment.

    Raises `ValueError` for n < 1, means and variances that are not both [E, d_u], non-positive variances.
    Source: Rajendran et al. 2024, section 3.
    """
    E, d_u = check_environments("sample_controls", environments)
    check_count("sample_controls", "n", n)
    means, variances = jnp.asarray(environments.means), jnp.asarray(environments.variances)
    dtype = jnp.result_type(float, means, variances)
    # The long axis last: several times faster for threefry on CPU.
    noise = jnp.moveaxis(jax.random.normal(key, (E, d_u, n), dtype), -1, 1)
    return means[:, None].astype(dtype) + jnp.sqrt(variances[:, None].astype(dtype)) * noise


def sample_trajectories(
    key: Key[Array, ""],
    system: LinearSystem,
    environments: Environments,
    n: int,
    *,
    initial_state: ArrayLike | None = None,
    process_noise_variance: ArrayLike = 0.0,
    observation_noise_variance: ArrayLike = 0.0,
    noise_convention: str = "variance",
    method: str = "scan",
    allow_unstable: bool = False,
) -> Trajectories:
    """Runs the system once per environment, each time from `initial_state` ([d_x], or [E, d_x]; 0 by default).

        u_t ~ N(mean_e, diag variance_e),    w_t ~ N(0, v_x I),    v_t ~ N(0, v_y I)

    `n` samples per environment, the transient included. Noise variances are numbers >= 0. With `noise_convention`
    "published" a nominal v stands for the covariance sqrt(v) I: the published study passed standard deviations where
    covariances are wanted, so its noise is far larger than its labels for v < 1.
    Raises `ValueError` for an unstable system (unless `allow_unstable`), shapes, n < 1, negative variances.
    Source: Rajendran et al. 2024, section 4 and appendix D.2 (noise).
    """
    check_choice("sample_trajectories", "noise_convention", noise_convention, NOISE_CONVENTIONS)
    d_x, d_u, d_y = _dims("sample_trajectories", system)
    E, _ = check_environments("sample_trajectories", environments, d_u)
    if not allow_unstable:
        check_stable(system)
    controls = sample_controls(stream(key, "controls"), environments, n)
    process = _noise("process", key, process_noise_variance, noise_convention, (E, d_x, n), controls.dtype)
    observation = _noise("observation", key, observation_noise_variance, noise_convention, (E, d_y, n), controls.dtype)
    start = np.zeros(d_x) if initial_state is None else initial_state
    if np.shape(start) not in ((d_x,), (E, d_x)):
        raise ValueError(
            f"sample_trajectories: found initial_state of shape {np.shape(start)}, wanted [{d_x}] or [{E}, {d_x}]"
        )
    starts = jnp.broadcast_to(jnp.asarray(start, controls.dtype).reshape(-1, d_x), (E, d_x))

    def run(u, x0, w, v):
        return simulate(system, u, initial_state=x0, process_noise=w, observation_noise=v, method=method)

    observations, states = jax.vmap(run)(controls, starts, process, observation)
    return Trajectories(observations, states, controls)


def make_pairs(trajectories: Trajectories | ArrayLike, controls: ArrayLike | None = None, *, stride: int = 2) -> Pairs:
    """Cuts trajectories into transitions (y_t, y_{t+1}) with the control u_t that acts between, t = 0, stride, ...

    `trajectories`, or observations [E, n, d_y] with `controls` [E, n, d_u]. `stride` 2 gives floor(n/2) pairs per
    environment that share no sample (the published choice; the last sample of an odd n is dropped), `stride` 1 all
    n - 1 transitions, as valid where y is a Markov chain (no observation noise) and with twice the data.
    Raises `ValueError` for other shapes, n < 2 or another stride.
    Source: Rajendran et al. 2024, section 4.
    """
    if stride not in (1, 2):
        raise ValueError(f"make_pairs: found stride={stride}, wanted 1 (all transitions) or 2 (disjoint pairs)")
    if isinstance(trajectories, Trajectories) != (controls is None):
        raise ValueError("make_pairs: wanted either Trajectories alone or observations together with controls")
    if isinstance(trajectories, Trajectories):
        y, u = jnp.asarray(trajectories.observations), jnp.asarray(trajectories.controls)
    else:
        y, u = jnp.asarray(trajectories), jnp.asarray(controls)
    if y.ndim != 3 or u.ndim != 3 or y.shape[:2] != u.shape[:2] or y.shape[1] < 2:
        raise ValueError(
            f"make_pairs: found observations {y.shape} and controls {u.shape}, "
            "wanted [E, n, d_y] and [E, n, d_u] with n >= 2"
        )
    first, second = y[:, : y.shape[1] - 1 : stride], y[:, 1::stride]
    return Pairs(jnp.stack([first, second], axis=2), u[:, : u.shape[1] - 1 : stride])


def _dims(owner, system):
    """(d_x, d_u, d_y) of one system."""
    a, b, c = np.shape(system.A), np.shape(system.B), np.shape(system.C)
    if not (len(a) == len(b) == len(c) == 2 and a[0] == a[1] == b[0] == c[1]) or 0 in a + b + c:
        raise ValueError(
            f"{owner}: found A {a}, B {b}, C {c}, wanted one system [d_x, d_x], [d_x, d_u], [d_y, d_x]; "
            "map over stacked systems with jax.vmap"
        )
    return a[0], b[1], c[0]


@partial(jax.jit, inline=True)
def _radius(A):
    A = jax.lax.stop_gradient(A)
    squarings = jnp.finfo(A.dtype).nmant + 8

    def rescaled(matrix):
        norm = jnp.sqrt(jnp.sum(matrix * matrix))
        return matrix / jnp.where(norm > 0, norm, 1.0), jnp.log(norm)

    def square(j, carry):
        power, log_radius = carry
        power, log_norm = rescaled(product(power, power))
        return power, log_radius + log_norm * 0.5 ** (j + 1)

    largest = jnp.max(jnp.abs(A))  # divided out first: squares of tiny or huge entries leave the range
    power, log_radius = rescaled(A / jnp.where(largest > 0, largest, 1.0))
    _, log_radius = jax.lax.fori_loop(0, squarings, square, (power, log_radius))
    return largest * jnp.exp(log_radius)


@partial(jax.jit, inline=True)
def _scan(A, start, pushes):
    def step(x, push):
        following = product(A, x) + push
        return following, following

    _, states = jax.lax.scan(step, start, pushes)
    return jnp.concatenate([start[None], states])


@partial(jax.jit, inline=True)
def _associative(A, start, pushes):
    """Prefixes of the affine maps x -> M x + v; the first map sends everything to x_0."""
    steps = jnp.broadcast_to(A, (pushes.shape[0] + 1, *A.shape))

    def compose(first, second):
        later = jnp.squeeze(product(second[0], first[1][..., None]), -1)
        return product(second[0], first[0]), later + second[1]

    return jax.lax.associative_scan(compose, (steps, jnp.concatenate([start[None], pushes])))[1]


def _noise(name, key, variance, convention, shape, dtype):
    """Draws [E, n, d], or nothing where the variance is known to be zero."""
    check_nonnegative("sample_trajectories", f"{name}_noise_variance", variance, ())
    if concrete(variance) == 0:
        return None
    sd = jnp.asarray(variance, dtype) ** (0.5 if convention == "variance" else 0.25)
    return sd * jnp.moveaxis(jax.random.normal(stream(key, f"{name} noise"), shape, dtype), -1, 1)
