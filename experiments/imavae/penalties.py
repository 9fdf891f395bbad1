"""Penalties on the decoder's Jacobian beside the ELBO: do they add to the orthogonality that the ELBO brings by itself?

Own comparison after Reizinger et al. 2022 (ELBO), Wei et al. 2021 (OroJaR, columns normalised, and its published
estimate) and Rhodes and Lee 2021 (L1, which is no penalty for orthogonality). One world and one autoencoder; -ELBO +
weight * penalty is minimised at a draw of the latents. The Moebius mixing has orthogonal columns; with a linear map
behind it the true columns are not, and what wants orthogonal ones asks for a wrong decoder. No number of a paper
belongs to this.

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
from identax.losses import c_ima_penalty, jacobian_l1, orojar, orojar_estimate
from identax.metrics import column_norms, polar_distance
from identax.models import decoder_function
from identax.study import Study

TRACED = (*vae.TRACED, "weight")
PENALTIES = {
    "c_ima": lambda decode, z, key: c_ima_penalty(jacobian(decode, z)),
    "orojar": lambda decode, z, key: orojar(jacobian(decode, z), normalize=True),
    "orojar estimate": orojar_estimate,
    "l1": lambda decode, z, key: jacobian_l1(jacobian(decode, z)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """The penalties at one weight each, on one kind of world."""

    world: Literal["moebius", "moebius and linear"] = "moebius"
    """"moebius and linear": a random linear map of determinant +-1 behind it, outside the class of IMA"""
    penalty: Literal["none", "c_ima", "orojar", "orojar estimate", "l1"] = "none"
    """"orojar estimate": as published, from two random directions and without normalised columns"""
    penalties: tuple[str, ...] = ("c_ima", "orojar", "orojar estimate", "l1")
    """that are compared"""
    weight: float = 0.0
    """of the penalty, in nats per unit of it; its gradient reaches the decoder alone"""
    weights: tuple[float, ...] = (0.3, 3.0)
    """swept in the arms that have a penalty, times its `claims.SHARES`"""


_QUICK = quick(
    Config, dim=2, precision=1e4, batch_size=128, num_steps=2500, log_every=250, evaluate_every=1250,
    num_evaluate=2048, num_seeds=3, weights=(1.0,), penalties=("c_ima", "orojar", "l1"),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_steps=10),
    "quick": _QUICK,
    "medium": longer(
        _QUICK,
        8000,
        dim=3,
        batch_size=256,
        log_every=500,
        evaluate_every=4000,
        num_seeds=6,
        weights=(0.3, 3.0),
        penalties=Config.penalties,
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
        slopes = jacobian(decoder_function(parts.model, variables(state)), z)
        return {"column norm": column_norms(slopes).mean(), "polar distance": polar_distance(slopes).mean()}

    if config.penalty == "none":
        return vae_study(config, parts, extra=columns)
    function = PENALTIES[config.penalty]

    def penalty(decode, z, hparams, key):
        return hparams["weight"] * function(decode, z, key)

    return vae_study(config, parts, extra=columns, penalty=penalty)
