"""A VAE on mixtures that an affine coupling flow makes: recovery does not follow the mixing's contrast there.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, autoregressive flow.
Normal sources in four dims; every seed draws another flow, as published (one full block of the Jacobian, and a third of
the runs lost) and, in the second arm, with halves that swap roles. A normal prior leaves rotations of the sources open.

    python -m experiments run imavae/flow --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import flow_claims as claims
from experiments.imavae.config import VaeConfig
from experiments.imavae.drawn_worlds import of_truth
from experiments.imavae.presets import longer, quick, smoke
from experiments.imavae.synthetic import synthetic_study
from experiments.imavae.vae import TRACED
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(VaeConfig):
    """Many flows at one precision. The defaults are the authors' setting, but for `largest_spread`."""

    dim: int = 4
    num_layers: int = 3
    precision: float = 1e5
    parity: Literal["published", "alternating"] = "published"
    largest_spread: float = 5.0
    """flows with an observation of larger sd are drawn again: this leaves 64 % of them, with the contrasts of the 67 of
    100 published runs; infinity keeps all, of which some have sds above 1e10"""
    num_alternating: int = 20
    """seeds of the arm with alternating halves; 0 leaves it out"""
    num_seeds: int = 100


_QUICK = quick(Config, width=15, precision=1e3, num_steps=2000, evaluate_every=1000, num_alternating=0, num_seeds=12)
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_seeds=3, num_alternating=2),
    "quick": _QUICK,
    "medium": longer(_QUICK, 12_000, evaluate_every=1500, num_seeds=40, num_alternating=20),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder on a flow that its seed draws."""
    world = claims.world(config)
    return synthetic_study(config, world, extra=of_truth(world))
