"""The further a linear map on top takes a Moebius mixing out of the IMA class, the worse a VAE recovers its sources.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, Moebius and linear map.
Every seed draws another Moebius map and another random matrix L; MCC is looked at over the contrast c_IMA(L). The
second arm is the control: the same worlds without L.

    python -m experiments run imavae/linear_map --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import linear_map_claims as claims
from experiments.imavae.config import UniformConfig
from experiments.imavae.drawn_worlds import of_linear_map
from experiments.imavae.presets import longer, quick, smoke
from experiments.imavae.synthetic import synthetic_study
from experiments.imavae.vae import TRACED
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """Many mixings at one precision. The defaults are the authors' setting."""

    linear: Literal["unit determinant", "unit columns", "cosine", "none"] = "unit determinant"
    """how the matrix with entries from U(0, 1) is scaled; "cosine": two dims, rows at the angle with this `cosine`"""
    cosine: float = 0.5
    precision: float = 1e5
    num_controls: int = 20
    """seeds of the arm without a linear map; 0 leaves it out"""
    num_seeds: int = 100


_QUICK = quick(Config, precision=1e4, num_steps=4000, evaluate_every=2000, num_controls=0, num_seeds=12)
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_seeds=3, num_controls=2),
    "quick": _QUICK,
    "medium": longer(_QUICK, 12_000, num_seeds=60, num_controls=10),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder on a world that its seed draws."""
    world = claims.world(config)
    return synthetic_study(config, world, extra=of_linear_map(world))
