"""Penalties on the decoder's Jacobian beside the ELBO: do they add to the orthogonality that the ELBO brings by itself?

Own comparison after Reizinger et al. 2022 (ELBO), Wei et al. 2021 (OroJaR, columns normalised) and Rhodes and Lee 2021
(L1, which is no penalty for orthogonality). One world and one autoencoder; -ELBO + weight * penalty is minimised, with
the exact Jacobian at a draw of the latents. The Moebius mixing has orthogonal columns; with a linear map behind it the
true columns are not, and what wants orthogonal ones asks for a wrong decoder. No number of a paper belongs to this.

    python -m experiments run imavae/penalties --preset quick
"""

import dataclasses
from typing import Literal

from experiments.imavae import penalties_claims as claims
from experiments.imavae import vae
from experiments.imavae.config import UniformConfig
from experiments.imavae.drawn_worlds import linear_world
from experiments.imavae.presets import longer, quick, smoke
from experiments.imavae.vae import synthetic_parts, vae_study, variables
from identax.jacobians import jacobian
from identax.losses import c_ima_penalty, jacobian_l1, orojar
from identax.metrics import column_norms
from identax.models import decoder_function
from identax.study import Study

TRACED = (*vae.TRACED, "weight")
PENALTIES = {"c_ima": c_ima_penalty, "orojar": lambda slopes: orojar(slopes, normalize=True), "l1": jacobian_l1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """The penalties at one weight each, on one kind of world."""

    world: Literal["moebius", "moebius and linear"] = "moebius"
    """"moebius and linear": a random linear map of determinant +-1 behind it, outside the class of IMA"""
    penalty: Literal["none", "c_ima", "orojar", "l1"] = "none"
    weight: float = 0.0
    """of the penalty, in nats per unit of it; its gradient reaches the decoder alone"""
    weights: tuple[float, ...] = (0.3, 3.0)
    """swept in the arms that have a penalty of orthogonality; "l1" takes a tenth of each, as its unit is that of x"""


_QUICK = quick(
    Config, dim=2, precision=1e4, batch_size=128, num_steps=2500, log_every=250, evaluate_every=1250,
    num_evaluate=2048, num_seeds=3, weights=(1.0,),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_steps=10),
    "quick": _QUICK,
    "medium": longer(
        _QUICK, 8000, dim=3, batch_size=256, log_every=500, evaluate_every=4000, num_seeds=6, weights=(0.3, 3.0)
    ),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = ()
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder with this penalty, or without one."""
    linear = "unit determinant" if config.world == "moebius and linear" else "none"
    parts = synthetic_parts(config, linear_world(config.dim, linear, center=10_000).dgp)

    def columns(state, drawn, z):
        del drawn
        return {"column norm": column_norms(jacobian(decoder_function(parts.model, variables(state)), z)).mean()}

    if config.penalty == "none":
        return vae_study(config, parts, extra=columns)
    function = PENALTIES[config.penalty]

    def penalty(decode, z, hparams):
        return hparams["weight"] * function(jacobian(decode, z))

    return vae_study(config, parts, extra=columns, penalty=penalty)
