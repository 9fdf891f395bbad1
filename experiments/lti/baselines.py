"""Baselines for Gaussian linear systems: every method on the same worlds, from knowing all to knowing nothing.

The comparison that Rajendran et al. 2024 do not have: their objective, the conditional likelihood and the closed form
beside oracles that know the controls (least squares, N4SID), likelihoods without environment labels (which must not
identify) and multi-environment ICA. Packages that are not installed are left out.

    pip install -e .[baselines]
    python -m experiments run lti/baselines --preset quick
"""

import dataclasses

import jax
import jax.numpy as jnp

from experiments.lti import baselines_claims as claims
from experiments.lti import baselines_methods, estimators, table1, worlds
from identax.assumptions.symmetry import expected_rotation_mcc
from identax.metrics import chance_mcc
from identax.study import HostTrial

FLOAT64 = True
TRACED = (*table1.TRACED, "noise")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(table1.Config):
    """Random systems and environments at the sizes `dims`, B and C random."""

    method: str = claims.COMPILED
    """of one arm: all methods that compile, one of `baselines_methods.ON_HOST`, or the levels of chance"""
    stride: int = 1
    """all transitions, so that methods for pairs and for trajectories see the same data"""
    noise: float = 0.0
    """on the observations, nominal; its variance is the root"""
    noisy_dims: tuple[int, ...] = ()
    """sizes that also run with noise 1e-4 (variance .01) and zero means"""
    kalman_systems: int = 0
    """Kalman fits of that many systems of each noisy size (half a minute each)"""
    n4sid_samples: int = 1000
    """of environment 0; the package makes an n x n factor of a singular value decomposition"""
    block_rows: int = 10
    """of its Hankel matrices, as in the package's own example"""


PRESETS: dict[str, Config] = {
    "smoke": Config(dims=(2,), num_samples=200, n4sid_samples=150, num_seeds=2),
    "quick": Config(dims=(3,), n4sid_samples=500, num_seeds=5),
    "medium": Config(dims=(2, 3, 5), noisy_dims=(2, 3), kalman_systems=4, num_seeds=20),
    "paper": Config(noisy_dims=(2, 3, 5), kalman_systems=20, n4sid_samples=4000, num_seeds=20),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """One world with one method on the host, with all that compile, or what chance reaches at this size."""
    if config.method in baselines_methods.ON_HOST:
        return _on_host(config)
    return _levels(config) if config.method == claims.LEVELS else _together(config)


def _together(config: Config):
    """Every method that compiles."""

    def trial(key, hparams):
        world = worlds.draw_world(key, config, hparams)
        found = baselines_methods.compiled_unmixings(key, world, hparams["zero_means"])
        scored = jax.vmap(lambda unmixing: estimators.scores(key, world, unmixing, config.batch_size, 1))
        scores = scored(jnp.stack(list(found.values())))
        named = {
            f"{method}: {quantity}": scores[quantity][i]
            for i, method in enumerate(found)
            for quantity in baselines_methods.QUANTITIES
        }
        return named | {"profile gap": table1.profile_gap(world.environments.variances)}

    return trial


def _on_host(config: Config) -> HostTrial:
    """One method that JAX cannot trace, on the world that the compiled methods draw from the same key."""
    run = baselines_methods.ON_HOST[config.method]
    draw = jax.jit(lambda key, hparams: worlds.draw_world(key, config, hparams))

    def trial(key, hparams):
        return baselines_methods.scores_or_nan(config.method, lambda: run(key, draw(key, hparams), config))

    return HostTrial(trial)


def _levels(config: Config):
    """MCC of random rotations and of independent noise, from draws that are the same for every seed."""
    count = (config.num_environments or config.dim + 1) * (config.num_samples - 1)

    def trial(key, hparams):
        mean, sd = expected_rotation_mcc(jax.random.key(0), (config.dim,), num_draws=4096)
        chance = chance_mcc(jax.random.key(0), config.dim, count, num_draws=8)[0]
        return {"random rotation, MCC": mean, "random rotation, sd of MCC": sd, "chance, MCC": chance}

    return trial
