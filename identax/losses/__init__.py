"""Per-example losses: arrays in, one value per example out, the caller reduces."""

from identax.losses.alignment import alignment, alignment_uniformity, uniformity
from identax.losses.contrast import SCHEMES
from identax.losses.contrastive import aninfonce, infonce, lp_infonce
from identax.losses.discrimination import project_rows, sharded_softmax_cross_entropy, softmax_cross_entropy
from identax.losses.elbo import bernoulli_nll, gaussian_kl, negative_elbo
from identax.losses.sharded import sharded
from identax.losses.slow_vae import (
    cross_entropy_to_laplace,
    cross_entropy_to_normal,
    normal_entropy,
    slow_vae,
)
from identax.losses.supervised import ensemble, jacobian_determinant, r2_loss

__all__ = [
    "SCHEMES",
    "alignment",
    "alignment_uniformity",
    "aninfonce",
    "bernoulli_nll",
    "cross_entropy_to_laplace",
    "cross_entropy_to_normal",
    "ensemble",
    "gaussian_kl",
    "infonce",
    "jacobian_determinant",
    "lp_infonce",
    "negative_elbo",
    "normal_entropy",
    "project_rows",
    "r2_loss",
    "sharded",
    "sharded_softmax_cross_entropy",
    "slow_vae",
    "softmax_cross_entropy",
    "uniformity",
]
