"""Does the theorem apply here, and what does it predict?"""

from identax.assumptions.bayes import BayesLoss, bayes_cross_entropy, bayes_losses
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
from identax.assumptions.cross_entropy import (
    ClusterWorld,
    CrossEntropyObjective,
    Regime,
    affine_generator_rank,
    cross_entropy_report,
    diversity_rank,
    divides,
    predicted_relation,
)
from identax.assumptions.lti import Excitation, excitation_report, lti_report, stability, system_premises
from identax.assumptions.oracle import optimal_precision, oracle_precision
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import common_blocks, equal_blocks, expected_rotation_mcc

__all__ = [
    "BayesLoss",
    "ClusterWorld",
    "ContrastiveObjective",
    "ContrastiveWorld",
    "CrossEntropyObjective",
    "Excitation",
    "Prediction",
    "Premise",
    "Regime",
    "Report",
    "affine_generator_rank",
    "bayes_cross_entropy",
    "bayes_losses",
    "collapse_thresholds",
    "collapsed_loss",
    "common_blocks",
    "contrastive_report",
    "cross_entropy_report",
    "diversity_rank",
    "divides",
    "equal_blocks",
    "excitation_report",
    "expected_rotation_mcc",
    "lti_report",
    "moment_shares",
    "optimal_precision",
    "oracle_precision",
    "pair_correlations",
    "predicted_relation",
    "stability",
    "symmetry_class",
    "system_premises",
]
