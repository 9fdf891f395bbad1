"""Every special case of exchangeable mechanisms on one page: drawn, learned, and predicted against measured.

Reizinger et al., "Identifiable Exchangeable Mechanisms for Causal Structure and Representation Learning", ICLR 2025:
one model of which causal de Finetti, nonlinear ICA with segments or labels and causal representation learning are
cases, by which layers there are and whose priors vary. Each has its learner here, and a neighbour where nothing varies.

    python -m experiments run iem/zoo --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.iem import tcl_duality, zoo_claims, zoo_figures, zoo_flows
from experiments.iem.variability_claims import CONDITIONS
from identax.causal import causal_de_finetti_pair
from identax.dgp import binary_pair
from identax.experiment import RunConfig
from identax.rng import stream

TRACED = ("learning_rate", "decay", "world")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One case. Those of sources in segments have the config of `iem/tcl_duality` instead."""

    case: Literal["pairs", "labels", "interventions"] = "interventions"
    world: int = 0
    """of interventions: 0 each variable's in an environment of its own, 1 none in any; of no other case"""
    num_environments: int = 4000
    """of a pair"""
    pairs: int = 100
    """data sets of the arm of pairs, which are its seeds"""
    level: float = 0.05
    dim: int = 4
    """latents behind a flow"""
    num_labels: int = 12
    environment_size: int = 1024
    """points of a label or of an environment with interventions"""
    gain: float = 1.0
    """of the mixing's hidden layers: how nonlinear it is"""
    num_layers: int = 6
    hidden: int = 32
    batch_size: int = 256
    learning_rate: float = 3e-2
    decay: float = 1e-5
    """weight of half the squared weights"""
    segments: tuple[int, int] = (40, 256)
    """how many of what length, of sources in segments"""
    segment_steps: int = 2000
    num_seeds: int = 3
    num_steps: int = 6000
    log_every: int = 200
    evaluate_every: int = 6000
    checkpoint_every: int = 6000


PRESETS: dict[str, Config] = {
    "smoke": Config(
        num_environments=50, pairs=4, num_labels=3, environment_size=16, num_layers=2, hidden=4, batch_size=16,
        segments=(5, 8), segment_steps=2, num_seeds=2, num_steps=2, log_every=1, evaluate_every=2, checkpoint_every=2,
    ),
    "quick": Config(),
    "medium": Config(pairs=1000, num_seeds=10, num_steps=12000, evaluate_every=12000, checkpoint_every=12000),
    "paper": Config(pairs=1000, num_seeds=10, num_steps=12000, evaluate_every=12000, checkpoint_every=12000),
}  # fmt: skip

arms = zoo_claims.arms
REFERENCES = zoo_claims.REFERENCES
premises = zoo_claims.premises
measure = zoo_claims.measure
figures = zoo_figures.figures


def build(config: Any):
    """The learner of a case: decisions of tests for pairs, a network for sources, a flow for the rest."""
    if isinstance(config, tcl_duality.Config):
        return tcl_duality.build(config)
    return _pairs(config) if config.case == "pairs" else zoo_flows.build(config)


def _pairs(config):
    """A binary pair with an edge either way, under every combination of what varies."""

    def trial(key, hparams):
        structure = jax.random.randint(stream(key, "structure"), (), 0, 2)

        def right(varies):
            drawn = binary_pair(stream(key, "pair"), config.num_environments, variability=varies, structure=structure)
            found = causal_de_finetti_pair(drawn.observations, method="g", levels=2, level=config.level)
            return (found.structure == structure).astype(float)

        names, flags = zip(*CONDITIONS.items(), strict=True)
        found = jax.vmap(right)(jnp.array(flags) > 0.5)
        return {f"{name}: direction": value for name, value in zip(names, found, strict=True)}

    return trial
