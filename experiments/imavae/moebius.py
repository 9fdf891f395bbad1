"""A near-deterministic VAE recovers the sources of a Moebius mixing: MCC rises and c_IMA falls with gamma^2.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, Moebius sweep.
A Moebius map has orthogonal columns everywhere; sources are uniform, the prior is uniform through a sigmoid. Below a
threshold in gamma^2 the autoencoder collapses, which is predicted for this world before training.

    python -m experiments run imavae/moebius --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import moebius_claims as claims
from experiments.imavae.vae import TRACED, VaeConfig, synthetic_parts, vae_study
from experiments.imavae.worlds import moebius_world
from identax.study import Study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(VaeConfig):
    """One sweep over gamma^2. The defaults are the authors' setting."""

    prior: Literal["uniform", "logistic", "gaussian", "laplace"] = "uniform"
    mixing: Literal["reference", "random"] = "reference"
    """"reference": the one mixing of the published sweep, dim 3, so that seeds differ in networks and noise alone;
    "random": another one for each seed"""
    precisions: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
    """what is swept; `precision` is not read"""


_QUICK = Config(
    num_layers=3,
    width=20,
    precisions=(1e2, 1e4),
    learning_rate=2e-3,
    batch_size=256,
    num_examples=None,
    num_steps=8000,
    log_every=500,
    evaluate_every=2000,
    checkpoint_every=8000,
    num_evaluate=4096,
    num_seeds=6,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, width=4, batch_size=16, num_steps=20, log_every=10, evaluate_every=20, checkpoint_every=20,
        num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_QUICK, precisions=(1e1, 1e2, 1e3, 1e4, 1e5), num_steps=16_000),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder on this world."""
    dgp = moebius_world(config.dim, config.mixing).dgp
    return vae_study(config, synthetic_parts(config, dgp))
