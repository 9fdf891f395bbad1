"""Continuous pairs from exchangeable environments: the published study as its code draws it, and strict versions.

Reizinger et al., "Identifiable Exchangeable Mechanisms for Causal Structure and Representation Learning", ICLR 2025:
its bivariate experiments (both parameters vary, "cause variability", "mechanism variability"), with the faults that
its sampler has, and next to them worlds in which what is named is what varies. A data set is one trial: E
environments, two samples each; three kernel tests decide between X -> Y, Y -> X and no edge. DirectLiNGAM, which does
not see environments, and the constant answer of FCI, GES and NOTEARS are scored on the same data.

    python -m experiments run iem/bivariate --preset quick
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.iem import bivariate_claims as claims
from experiments.iem import bivariate_figures as drawing
from experiments.iem import bivariate_known as known
from identax.causal import causal_de_finetti_pair, pairwise_lingam
from identax.dgp import laplace_pair, shipped_pair
from identax.experiment import RunConfig
from identax.rng import stream

FLOAT64 = True
"""in float32 p-values given z are off by up to 1e-2, enough to flip decisions near the level"""
TRACED = ("condition", "level")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Data sets of one number of environments; seeds are data sets."""

    sampler: Literal["as shipped", "strict", "second moments"] = "as shipped"
    """of one arm: the code's sampler with its faults, or linear and half quadratic pairs with point masses, or these
    linear pairs tested by partial correlations"""
    num_environments: int = 100
    """of one arm"""
    environments: tuple[int, ...] = (100, 200, 300, 400, 500)
    """as shipped, an arm each"""
    strict_environments: tuple[int, ...] = (100, 200)
    """strict, an arm each"""
    second_moment_environments: tuple[int, ...] = (200,)
    """the same by partial correlations"""
    second_moment_sets: int = 1000
    """data sets of these, which cost little"""
    condition: int = 0
    """what varies: a row of `bivariate_known.CONDITIONS`"""
    level: float = 0.05
    num_seeds: int = 100


PRESETS: dict[str, Config] = {
    "smoke": Config(
        environments=(20,),
        strict_environments=(20,),
        second_moment_environments=(20,),
        second_moment_sets=6,
        num_seeds=6,
    ),
    "quick": Config(environments=(100, 200, 300), strict_environments=(100,)),
    "medium": Config(strict_environments=(100, 200, 400), num_seeds=400),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = known.references(PRESETS)
premises = claims.premises
measure = claims.measure
figures = drawing.figures


# Mapped one by one: a vmap of the kernel test would run both of its solvers for every data set.
@jax.custom_batching.sequential_vmap
def _by_kernels(observations, level):
    return causal_de_finetti_pair(observations, method="kci", level=level)


def _by_moments(observations, level):
    return causal_de_finetti_pair(observations, method="fisher_z", level=level)


def build(config: Config):
    """One data set: the true structure, what the three tests say, and what LiNGAM says of the pooled samples."""
    table = np.array(list(known.CONDITIONS[config.sampler].values()))

    def draw(key, row):
        if config.sampler == known.SHIPPED:
            return shipped_pair(key, config.num_environments, variability=row > 0.5, parity=True)
        return laplace_pair(key, config.num_environments, spreads=row[:2], quadratic_share=row[2])

    def trial(key, hparams):
        drawn = draw(stream(key, "pair"), jnp.asarray(table)[hparams["condition"]])
        by_moments = config.sampler == known.SECOND
        found = (_by_moments if by_moments else _by_kernels)(drawn.observations, hparams["level"])
        result = {
            "truth": drawn.structure.astype(float),
            "decided": found.structure.astype(float),
            "settled": found.settled.astype(float),
            "rejected": (found.p_values <= hparams["level"]).astype(float),
            "p_values": found.p_values,
        }
        if not by_moments:
            result["lingam"] = pairwise_lingam(*drawn.observations.reshape(-1, 2).T).structure.astype(float)
        return result

    return trial
