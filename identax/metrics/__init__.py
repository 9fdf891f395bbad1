"""How much of the truth was recovered, and up to which symmetry."""

from identax.metrics.correlation import mcc, rank_matched_mcc
from identax.metrics.linear_map import head_r2, singular_value_error
from identax.metrics.padded_mcc import padded_mcc
from identax.metrics.pearson import pearson_readout
from identax.metrics.precision import precision_recovery
from identax.metrics.readout import linear_readout_accuracy
from identax.metrics.regression import block_r2, linear_r2

__all__ = [
    "block_r2",
    "head_r2",
    "linear_r2",
    "linear_readout_accuracy",
    "mcc",
    "padded_mcc",
    "pearson_readout",
    "precision_recovery",
    "rank_matched_mcc",
    "singular_value_error",
]
