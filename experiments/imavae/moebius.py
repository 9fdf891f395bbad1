"""A near-deterministic VAE recovers the sources of a Moebius mixing: MCC rises and c_IMA falls with gamma^2.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, Moebius sweep.
A Moebius map has orthogonal columns everywhere; sources are uniform, the prior is uniform through a sigmoid. Below a
threshold in gamma^2 the autoencoder collapses, which is predicted for this world before training.

    python -m experiments run imavae/moebius --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import moebius_claims as claims
from experiments.imavae.config import UniformConfig
from experiments.imavae.presets import quick, smoke
from experiments.imavae.synthetic import synthetic_study
from experiments.imavae.vae import TRACED
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """One sweep over gamma^2. The defaults are the authors' setting."""

    mixing: Literal["reference", "random"] = "reference"
    """"reference": the one mixing of the published sweep, dim 3, so that seeds differ in networks and noise alone;
    "random": another one for each seed"""
    precisions: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
    """what is swept; `precision` is not read"""


_QUICK = quick(Config, precisions=(1e2, 1e4), num_steps=6000, evaluate_every=2000, num_seeds=6)
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_importance=2, further=True),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, precisions=(1e1, 1e2, 1e3, 1e4, 1e5), num_steps=16_000, num_importance=16, further=True
    ),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder on this world."""
    return synthetic_study(config, claims.world(config))
