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

import jax.numpy as jnp

from experiments.imavae import penalties_claims as claims
from experiments.imavae import vae
from experiments.imavae.config import UniformConfig
from experiments.imavae.drawn_worlds import linear_world
from experiments.imavae.presets import longer, quick, smoke
from experiments.imavae.vae import synthetic_parts, vae_study
from identax.jacobians import jacobian
from identax.losses import c_ima_penalty, jacobian_l1, orojar, orojar_estimate
from identax.metrics import column_norms, polar_distance
from identax.study import Study

PENALTIES = ("c_ima", "orojar", "orojar_estimate", "l1")
WORLDS = ("moebius", "moebius and linear")
TRACED = (*vae.TRACED, "combination")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(UniformConfig):
    """The penalties at their weights, on one kind of world."""

    world: Literal["moebius", "moebius and linear"] = "moebius"
    """of one arm; "moebius and linear": a random linear map of determinant +-1 behind it, outside the class of IMA"""
    worlds: tuple[Literal["moebius", "moebius and linear"], ...] = WORLDS
    """on which the penalties are compared; each is a program of its own"""
    penalties: tuple[Literal["c_ima", "orojar", "orojar_estimate", "l1"], ...] = PENALTIES
    """that are compared; every trial computes them all, those of weight 0 too, so that a world is one program"""
    weights: tuple[float, ...] = (0.3, 3.0)
    """of each in turn, nats per unit of it, times its share in `claims.SHARES`; gradients reach the decoder alone"""
    combination: int = 0
    """place in `claims.combinations`, which is swept: the ELBO alone, or with one penalty at one weight"""


_QUICK = quick(
    Config, dim=2, precision=1e4, batch_size=128, num_steps=2500, log_every=250, evaluate_every=1250,
    num_evaluate=2048, num_seeds=3, weights=(1.0,), penalties=("c_ima", "orojar", "l1"), worlds=("moebius",),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke(_QUICK, num_steps=10, worlds=WORLDS),
    "quick": _QUICK,
    "medium": longer(
        _QUICK,
        5000,
        dim=3,
        batch_size=256,
        log_every=500,
        evaluate_every=2500,
        num_seeds=6,
        weights=(0.3, 3.0),
        penalties=PENALTIES,
        worlds=WORLDS,
    ),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = ()
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The autoencoder with the penalty and the weight of a trial's combination."""
    linear = "unit determinant" if config.world == "moebius and linear" else "none"
    parts = synthetic_parts(config, linear_world(config.dim, linear, center=10_000).dgp)
    table = claims.weight_table(config)

    def columns(state, drawn, codes):
        del state, drawn
        return {
            "column norm": column_norms(codes.slopes).mean(),
            "polar distance": polar_distance(codes.slopes).mean(),
        }

    def penalty(decode, z, hparams, key):
        slopes = jacobian(decode, z)
        penalties = {
            "c_ima": lambda: c_ima_penalty(slopes),
            "orojar": lambda: orojar(slopes, normalize=True),
            "orojar_estimate": lambda: orojar_estimate(decode, z, key),
            "l1": lambda: jacobian_l1(slopes),
        }
        weights = jnp.asarray(table, slopes.dtype)[hparams["combination"]]
        return sum(weight * penalties[name]() for weight, name in zip(weights, config.penalties, strict=True))

    return vae_study(config, parts, extra=columns, penalty=penalty)
