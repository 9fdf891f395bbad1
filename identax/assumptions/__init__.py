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
from identax.assumptions.oracle import oracle_precision
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import equal_blocks, expected_rotation_mcc

__all__ = [
    "ContrastiveObjective",
    "ContrastiveWorld",
    "Prediction",
    "Premise",
    "Report",
    "collapse_thresholds",
    "collapsed_loss",
    "contrastive_report",
    "equal_blocks",
    "expected_rotation_mcc",
    "moment_shares",
    "oracle_precision",
    "pair_correlations",
    "symmetry_class",
]
