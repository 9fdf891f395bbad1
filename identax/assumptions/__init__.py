"""Does the theorem apply here, and what does it predict?"""

from identax.assumptions.autoregressive import (
    TabularModel,
    divergence_from_strings,
    free_table,
    rule_extrapolation_report,
    rule_one,
    tabular_completions,
    tabular_log_probs,
)
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
from identax.assumptions.d_separation import d_separated, unrolled_graph
from identax.assumptions.exchangeable import source_report, special_case, structure_report
from identax.assumptions.exchangeable_conditions import gcl_variability, parameter_rank, second_order_dependence
from identax.assumptions.exchangeable_structure import (
    BivariateTests,
    bivariate_tests,
    cross_sample_separations,
    identified_edges,
    separation_tables,
)
from identax.assumptions.ima import asymptotic_variance, global_c_ima, l_ima, log_likelihood
from identax.assumptions.ima_collapse import (
    CollapsedPosterior,
    collapse_instability,
    collapse_threshold,
    collapsed_elbo,
    collapsed_posterior,
)
from identax.assumptions.ima_elbo import (
    EncoderOptimum,
    Nodes,
    elbo_star,
    encoder_elbo,
    gauss_hermite,
    matched_normals,
)
from identax.assumptions.ima_report import ima_report
from identax.assumptions.in_context import (
    divergence_bound,
    examples_needed,
    in_context_report,
    mixed_divergence,
    pattern_mass,
    rare_examples,
)
from identax.assumptions.interventions import ScoreDifference, intervention_report, score_difference
from identax.assumptions.lti import Excitation, excitation_report, lti_report, stability, system_premises
from identax.assumptions.oracle import optimal_precision, oracle_precision
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.rescaling import Rescaled, rescaled, rescaling_report
from identax.assumptions.symmetry import common_blocks, equal_blocks, expected_rotation_mcc

__all__ = [
    "BayesLoss",
    "BivariateTests",
    "ClusterWorld",
    "CollapsedPosterior",
    "ContrastiveObjective",
    "ContrastiveWorld",
    "CrossEntropyObjective",
    "EncoderOptimum",
    "Excitation",
    "Nodes",
    "Prediction",
    "Premise",
    "Regime",
    "Report",
    "Rescaled",
    "ScoreDifference",
    "TabularModel",
    "affine_generator_rank",
    "asymptotic_variance",
    "bayes_cross_entropy",
    "bayes_losses",
    "bivariate_tests",
    "collapse_instability",
    "collapse_threshold",
    "collapse_thresholds",
    "collapsed_elbo",
    "collapsed_loss",
    "collapsed_posterior",
    "common_blocks",
    "contrastive_report",
    "cross_entropy_report",
    "cross_sample_separations",
    "d_separated",
    "divergence_bound",
    "divergence_from_strings",
    "diversity_rank",
    "divides",
    "elbo_star",
    "encoder_elbo",
    "equal_blocks",
    "examples_needed",
    "excitation_report",
    "expected_rotation_mcc",
    "free_table",
    "gauss_hermite",
    "gcl_variability",
    "global_c_ima",
    "identified_edges",
    "ima_report",
    "in_context_report",
    "intervention_report",
    "l_ima",
    "log_likelihood",
    "lti_report",
    "matched_normals",
    "mixed_divergence",
    "moment_shares",
    "optimal_precision",
    "oracle_precision",
    "pair_correlations",
    "parameter_rank",
    "pattern_mass",
    "predicted_relation",
    "rare_examples",
    "rescaled",
    "rescaling_report",
    "rule_extrapolation_report",
    "rule_one",
    "score_difference",
    "second_order_dependence",
    "separation_tables",
    "source_report",
    "special_case",
    "stability",
    "structure_report",
    "symmetry_class",
    "system_premises",
    "tabular_completions",
    "tabular_log_probs",
    "unrolled_graph",
]
