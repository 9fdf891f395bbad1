"""Linear systems as hidden Markov models: exchangeable trajectories, and the conditions of causal de Finetti.

Rajendran et al. 2024, section 3 and appendix C, prove that such models satisfy the conditions of the causal de Finetti
theorem and run nothing. Here each statement is a number: densities that may not change, and independences that Fisher's
z-test may reject at its level only, each beside a control that has to fail.

    python -m experiments run lti/causal_de_finetti --preset quick
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from experiments.lti import causal_de_finetti_claims as claims
from experiments.lti import causal_de_finetti_worlds as worlds
from identax.causal import fisher_z_test, partial_correlation
from identax.experiment import RunConfig
from identax.lti import joint_loglik, kalman_loglik
from identax.rng import stream

FLOAT64 = True
"""densities are compared to 1e-9"""
TRACED = ("spectral_radius", "mean_sd", "mechanism_sd", "level")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One seed is one environment whose data sets are redrawn, or a series of pooled data sets."""

    data: Literal["one environment", "pooled"] = "one environment"
    """whether the trajectories of a data set share theta and psi; of one arm"""
    dim: int = 2
    """number of states, controls and outputs"""
    length: int = 6
    """of a trajectory; tests are about t = length - 2"""
    num_samples: int = 400
    """rows of a test: trajectories (pairs of them across trajectories) of one environment, or environments"""
    num_replications: int = 1000
    """data sets per seed, of which a rate is the share that is rejected"""
    chunk: int = 25
    """data sets that are computed at once"""
    spectral_radius: float = 0.9
    mean_sd: float = 1.0
    """of the controls' mean over environments; at 0 theta does not show in means"""
    mechanism_sd: float = 0.3
    """of every entry of B and C over environments, around I"""
    noise_variance: float = 2.0
    """mean over environments of the observation noise's variance, uniform within a half of it"""
    level: float = 0.05
    num_seeds: int = 64


PRESETS: dict[str, Config] = {
    "smoke": Config(num_samples=40, num_replications=10, chunk=10, num_seeds=2),
    "quick": Config(num_replications=250, num_seeds=8),
    "medium": Config(num_replications=500, num_seeds=32),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.references(PRESETS)
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """One seed: checks of densities, and rejection rates over its data sets.

    Raises `ValueError` for trajectories without a step before and after t.
    """
    if config.length < 3:
        raise ValueError(f"lti/causal_de_finetti: found length={config.length}, wanted at least 3 (t - 1, t, t + 1)")
    return _one_environment(config) if config.data == "one environment" else _pooled(config)


def _one_environment(config: Config):
    t = config.length - 2

    def trial(key, hparams):
        level = hparams["level"]
        theta, psi = worlds.draw(stream(key, "environment"), 1, config.dim, config.noise_variance, hparams)
        thetas, psis = jax.tree.map(lambda leaf: jnp.repeat(leaf, config.num_samples, axis=0), (theta, psi))

        def replicate(key):
            (x, other_x), (y, other_y) = worlds.sample(key, thetas, psis, config.length)
            columns = {
                "x_t+1": x[:, t + 1, 0],
                "x_t-1": x[:, t - 1, 0],
                "y_t": y[:, t, 0],
                "y_t-1": y[:, t - 1, 0],
                "y_t+1": y[:, t + 1, 0],
                "the other's x_t": other_x[:, t, 0],
                "the other's y_t": other_y[:, t, 0],
            }
            names, table = list(columns), jnp.stack(list(columns.values()), axis=1)
            found = {" given x_t": _rejected(table, table, level, x[:, t]), "": _rejected(table, table, level)}
            rejected = {}
            for statement in claims.statements("one environment"):
                pair, given, _ = statement.partition(" given x_t")
                left, right = (names.index(name) for name in pair.split(" and "))
                rejected[statement] = found[given][left, right]
            return rejected

        (x, _), (y, _) = worlds.sample(stream(key, "densities"), thetas, psis, config.length)
        theta, psi = jax.tree.map(lambda leaf: leaf[0], (theta, psi))
        return _densities(stream(key, "permutations"), theta, psi, x, y) | _rates(key, replicate, config)

    return trial


def _pooled(config: Config):
    t, num = config.length - 2, config.num_samples

    def trial(key, hparams):
        level = hparams["level"]

        def replicate(key):
            theta, psi = worlds.draw(stream(key, "environments"), num, config.dim, config.noise_variance, hparams)
            (x, other_x), (y, other_y) = worlds.sample(stream(key, "trajectories"), theta, psi, config.length)
            mean, sd = worlds.output_law(theta, psi, t)
            whitened, other_whitened = ((values[:, t, 0] - mean) / sd for values in (y, other_y))
            # Given x_t alone C has its prior's law, so this mean and variance of y_t are exact.
            scale = jnp.sqrt(config.noise_variance + hparams["mechanism_sd"] ** 2 * (x[:, t] ** 2).sum(axis=1))
            output = (y[:, t, 0] - x[:, t, 0]) / scale  # C has the mean I
            tied = ndtri(2 * ndtr(jnp.abs(theta.scores[:, 0])) - 1)  # normal like what it replaces, but set by theta
            tied_output = output + hparams["mechanism_sd"] * (tied - psi.scores[:, 0, 0]) * x[:, t, 0] / scale
            later, earlier = _scores(x[:, t + 1, 0]), _scores(x[:, t - 1, 0])
            state, seen = _scores(x[:, t]), _scores(y[:, t])
            other_state, other_seen = _scores(other_x[:, t, 0]), _scores(other_y[:, t, 0])
            halves = _scores(y[: num // 2 * 2, t, 0].reshape(2, -1).T)
            left = jnp.stack([whitened, seen[:, 0], output, tied_output], axis=1)
            right = jnp.stack([other_whitened, other_seen, other_state], axis=1)
            plain = _rejected(left, right, level)
            return {
                "y_t and the other's y_t given theta, psi": plain[0, 0],
                "y_t and the other's y_t": plain[1, 1],
                "y_t and the other's x_t given x_t": plain[2, 2],
                "y_t and the other's x_t given x_t, dependent priors": plain[3, 2],
                "y_t and y_t of another environment": _rejected(halves[:, 0], halves[:, 1], level),
                "x_t and the other's y_t given y_t": _rejected(state[:, 0], other_seen, level, seen),
                "x_t+1 and x_t-1 given x_t": _rejected(later, earlier, level, state),
            }

        return _rates(key, replicate, config)

    return trial


def _densities(key, theta, psi, x, y):
    """What changes in log-densities of trajectories x, y [N, T, d] of one environment that should not, and should."""
    system, means, variances = theta.system(psi.C), theta.means, theta.variances
    step = (system.B * variances[None, :]) @ system.B.T
    start = jnp.eye(x.shape[-1])

    def joint(x, y):
        return joint_loglik(
            x, y, system.A, system.C, step, psi.noise, state_offset=system.B @ means, initial_covariance=start
        )

    def kalman(A, y):
        return kalman_loglik(
            y, A, system.B, system.C, control_mean=means, control_variance=variances,
            observation_covariance=psi.noise, initial_covariance=start,
        )  # fmt: skip

    order = jax.random.permutation(stream(key, "trajectories"), x.shape[0])
    times = jnp.argsort(jax.random.uniform(stream(key, "times"), x.shape[:2]), axis=1)[:, :, None]
    states, observations = (jnp.stack([z, z[order], jnp.take_along_axis(z, times, axis=1)]) for z in (x, y))
    whole, exchanged, shuffled = jax.vmap(jax.vmap(joint))(states, observations).sum(axis=1)
    dense = worlds.dense_loglik(y, theta, psi)[None]
    found = jax.vmap(jax.vmap(kalman, (None, 0)), (0, None))(jnp.stack([system.A, 0.9 * system.A]), y)
    right, wrong = (jnp.abs(found - dense) / jnp.maximum(jnp.abs(dense), 1.0)).max(axis=1)
    return {
        "joint density, trajectories permuted": jnp.abs(exchanged - whole) / jnp.abs(whole),
        "joint density, times permuted": (whole - shuffled) / (x.shape[0] * x.shape[1]),
        "Kalman against dense density": right,
        "Kalman against dense density, A 10 % off": wrong,
    }


def _rejected(x, y, level, given=None):
    """Is independence of each column of x from each of y, given those of `given`, rejected? 0, 1, or NaN."""
    num_given = 0 if given is None else given.shape[1]
    p_values = fisher_z_test(partial_correlation(x, y, given), x.shape[0], num_given)
    return jnp.where(jnp.isnan(p_values), jnp.nan, p_values < level)


def _rates(key, replicate, config):
    keys = jax.random.split(stream(key, "replications"), config.num_replications)
    found = jax.lax.map(replicate, keys, batch_size=min(config.chunk, config.num_replications))
    return {name: values.mean() for name, values in found.items()}


def _scores(values):
    """Normal quantiles of the ranks along axis 0, so that the test keeps its level for marginals of any tails."""
    ranks = jnp.argsort(jnp.argsort(values, axis=0), axis=0)
    return ndtri((ranks + 0.5) / len(values))
