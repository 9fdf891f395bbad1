"""Per-example losses: arrays in, one value per example out, the caller reduces."""

from identax.losses.contrast import SCHEMES
from identax.losses.contrastive import aninfonce, infonce, lp_infonce
from identax.losses.elbo import bernoulli_nll, gaussian_kl, negative_elbo
from identax.losses.sharded import sharded

__all__ = ["SCHEMES", "aninfonce", "bernoulli_nll", "gaussian_kl", "infonce", "lp_infonce", "negative_elbo", "sharded"]
