"""The prior matters: uniform sources of a Moebius map are recovered with a uniform prior, less with another one.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, priors and dimensions.
One arm for each prior and dim, gamma^2 swept within it; the preset `saturation` is the published sweep with a normal
prior in three dims up to 1e10, in which MCC saturates at .82.

    python -m experiments run imavae/priors --preset quick
"""

import dataclasses

from experiments.imavae import priors_claims as claims
from experiments.imavae.config import UniformConfig
from experiments.imavae.presets import longer, quick, smoke
from experiments.imavae.synthetic import synthetic_study
from experiments.imavae.vae import TRACED
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """Priors crossed with dims and precisions. The defaults are the authors' setting."""

    priors: tuple[str, ...] = ("uniform", "gaussian", "laplace")
    dims: tuple[int, ...] = (2, 3, 5, 10)
    precisions: tuple[float, ...] = (1e3, 1e4, 1e5)
    """what is swept; `precision` is not read"""
    num_layers: int = 3
    num_steps: int = 164_250
    num_seeds: int = 5


_QUICK = quick(
    Config, priors=("uniform", "gaussian"), dims=(3,), precisions=(1e4,), num_steps=2500, log_every=250,
    evaluate_every=1250, num_seeds=3,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK),
    "quick": _QUICK,
    "medium": longer(
        _QUICK,
        10_000,
        log_every=500,
        evaluate_every=2500,
        priors=("uniform", "gaussian", "laplace"),
        dims=(2, 3, 5),
        precisions=(1e3, 1e4),
        num_seeds=5,
    ),
    "paper": Config(),
    "saturation": Config(
        priors=("gaussian",),
        dims=(3,),
        precisions=tuple(claims.SATURATED),
        published_batch=512,
        num_layers=2,
        num_steps=262_800,
        num_seeds=20,
    ),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder with one prior on the world of one dim."""
    return synthetic_study(config, claims.world(config))
