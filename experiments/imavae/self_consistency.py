"""Posterior variance and reconstruction error of a VAE vanish as gamma^2 grows, as its decoder's Jacobian predicts.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, self-consistency.
Gaussian sources through an MLP of orthogonal matrices: with the identity as activation, which made the published
numbers, and with the smooth leaky ReLU that the paper describes. Also whether gamma^2 is near its estimate 1 / MSE.

    python -m experiments run imavae/self_consistency --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import self_consistency_claims as claims
from experiments.imavae import vae
from experiments.imavae.config import VaeConfig
from experiments.imavae.presets import quick, smoke
from experiments.imavae.synthetic import synthetic_study
from identax.study import Study

TRACED = (*vae.TRACED, "alpha")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(VaeConfig):
    """Two sweeps over gamma^2. Defaults: the setting of the published numbers, but for their learned prior variance."""

    alpha: float = 1.0
    """slope of the mixing's activation alpha t + (1 - alpha) log(1 + e^t) at -inf; 1: the identity; traced, so that
    both sweeps are one program"""
    mixing_layers: int = 3
    mixing_seed: int = 1
    """all seeds see one mixing, as published"""
    precisions: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
    """what is swept; `precision` is not read"""
    rules: tuple[Literal["learned", "largest likelihood"], ...] = ("learned", "largest likelihood")
    """further arms of the identity, whose precision starts at the first of `precisions` and is found in training"""


_QUICK = quick(
    Config, precisions=(1e1, 1e2, 1e3), rules=(), schedule="cosine", num_steps=6000, evaluate_every=2000, num_seeds=3
)
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, rules=("learned",), num_importance=2),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, precisions=(1e1, 1e2, 1e3, 1e4, 1e5), rules=("learned", "largest likelihood"), num_importance=16,
        num_steps=20_000, num_seeds=5,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder on the world of a trial's alpha."""
    world = claims.world(config)

    def truth(key, hparams):
        made = world.dgp.init(key)
        return {**made, "mixing": {**made["mixing"], "alpha": hparams["alpha"]}}

    return synthetic_study(config, world, truth=truth)
