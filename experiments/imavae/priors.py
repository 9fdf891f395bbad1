"""The prior matters: uniform sources of a Moebius map are recovered with a uniform prior, less with another one.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, priors and dimensions.
One arm for each prior and dim, gamma^2 swept within it; with a normal prior this is part of the published sweep to
1e10, in which MCC saturates at .82.

    python -m experiments run imavae/priors --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import priors_claims as claims
from experiments.imavae.vae import TRACED, VaeConfig, synthetic_parts, vae_study
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(VaeConfig):
    """Priors crossed with dims and precisions. The defaults are the authors' setting."""

    prior: Literal["uniform", "logistic", "gaussian", "laplace"] = "uniform"
    priors: tuple[str, ...] = ("uniform", "gaussian", "laplace")
    dims: tuple[int, ...] = (2, 3, 5, 10)
    precisions: tuple[float, ...] = (1e3, 1e4, 1e5)
    """what is swept; `precision` is not read"""
    num_layers: int = 3
    num_steps: int = 164_250
    num_seeds: int = 5


_QUICK = Config(
    width=20,
    priors=("uniform", "gaussian"),
    dims=(3,),
    precisions=(1e4,),
    learning_rate=2e-3,
    batch_size=256,
    num_examples=None,
    num_steps=5000,
    log_every=500,
    evaluate_every=2500,
    checkpoint_every=5000,
    num_evaluate=4096,
    num_seeds=3,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, width=4, batch_size=16, num_steps=20, log_every=10, evaluate_every=20, checkpoint_every=20,
        num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, priors=("uniform", "gaussian", "laplace"), dims=(2, 3, 5), precisions=(1e3, 1e4),
        num_steps=10_000, checkpoint_every=10_000, num_seeds=5,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder with one prior on the world of one dim."""
    return vae_study(config, synthetic_parts(config, claims.world(config).dgp))
