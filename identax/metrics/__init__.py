"""How much of the truth was recovered, and up to which symmetry."""

from identax.metrics.correlation import mcc, rank_matched_mcc
from identax.metrics.padded_mcc import padded_mcc
from identax.metrics.precision import precision_recovery
from identax.metrics.readout import linear_readout_accuracy
from identax.metrics.regression import block_r2, linear_r2

__all__ = [
    "block_r2",
    "linear_r2",
    "linear_readout_accuracy",
    "mcc",
    "padded_mcc",
    "precision_recovery",
    "rank_matched_mcc",
]
