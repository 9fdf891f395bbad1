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

FLOAT64 = True
TRACED = (*table1.TRACED, "noise")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(table1.Config):
    """Random systems and environments at the sizes `dims`, B and C random."""

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
    """One world, and every method that compiles."""

    def trial(key, hparams):
        world = worlds.draw_world(key, config, hparams)
        found = baselines_methods.compiled_unmixings(key, world, hparams["zero_means"])
        scored = jax.vmap(lambda unmixing: estimators.scores(key, world, unmixing, config.batch_size, 1))
        scores = scored(jnp.stack(list(found.values())))
        return {
            f"{method}: {quantity}": scores[quantity][i]
            for i, method in enumerate(found)
            for quantity in baselines_methods.QUANTITIES
        }

    return trial
