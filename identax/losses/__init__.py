"""Per-example losses: arrays in, one value per example out, the caller reduces."""

from identax.losses.contrast import SCHEMES
from identax.losses.contrastive import aninfonce, infonce, lp_infonce

__all__ = ["SCHEMES", "aninfonce", "infonce", "lp_infonce"]
