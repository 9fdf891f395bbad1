"""Does the theorem apply here, and what does it predict?"""

from identax.assumptions.collapse import (
    collapse_thresholds,
    collapsed_loss,
    moment_shares,
    pair_correlations,
)
from identax.assumptions.contrastive import (
    ContrastiveObjective,
    ContrastiveWorld,
    contrastive_report,
    symmetry_class,
)
from identax.assumptions.oracle import optimal_precision, oracle_precision
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import common_blocks, equal_blocks, expected_rotation_mcc

__all__ = [
    "ContrastiveObjective",
    "ContrastiveWorld",
    "Prediction",
    "Premise",
    "Report",
    "collapse_thresholds",
    "collapsed_loss",
    "common_blocks",
    "contrastive_report",
    "equal_blocks",
    "expected_rotation_mcc",
    "moment_shares",
    "optimal_precision",
    "oracle_precision",
    "pair_correlations",
    "symmetry_class",
]
