"""It is enough that the cause or the mechanism varies over environments: causal de Finetti on strict binary pairs.

Reizinger et al., "Identifiable Exchangeable Mechanisms for Causal Structure and Representation Learning", ICLR 2025:
its bivariate theorem, on data whose parameters vary (Beta priors) or do not (point masses), which the published
sampler's do not. A data set is one trial: E environments, two samples each; three G-tests decide between X -> Y, Y -> X
and no edge.

    python -m experiments run iem/variability --preset quick
"""

import dataclasses

import jax.numpy as jnp

from experiments.iem import variability_claims as claims
from identax.causal import causal_de_finetti_pair
from identax.dgp import binary_pair
from identax.experiment import RunConfig
from identax.rng import stream

TRACED = ("cause", "mechanism", "level")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Data sets of one number of environments; seeds are data sets."""

    num_environments: int = 500
    environments: tuple[int, ...] = (500, 1000, 2000, 4000, 8000)
    """an arm each; `num_environments` is not read"""
    cause: float = 1.0
    """1: the parameter of the cause varies over environments; 0: it does not"""
    mechanism: float = 1.0
    """the same of the effect's noise"""
    level: float = 0.05
    num_seeds: int = 300


PRESETS: dict[str, Config] = {
    "smoke": Config(environments=(50, 100), num_seeds=4),
    "quick": Config(),
    "medium": Config(num_seeds=2000),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """One data set: the true and the decided structure, and what the tests said."""

    def trial(key, hparams):
        varies = (hparams["cause"] > 0.5, hparams["mechanism"] > 0.5)
        drawn = binary_pair(stream(key, "pair"), config.num_environments, variability=varies)
        found = causal_de_finetti_pair(drawn.observations, method="g", levels=2, level=hparams["level"])
        is_edge = (drawn.structure != 2) & (found.structure != 2)
        correct = found.structure == drawn.structure
        return {
            "accuracy": correct.astype(float),
            "direction": jnp.where(is_edge, correct, -1).astype(float),
            "truth": drawn.structure.astype(float),
            "decided": found.structure.astype(float),
            "settled": found.settled.astype(float),
            "rejected": (found.p_values <= hparams["level"]).astype(float),
        }

    return trial
