"""How much of the truth was recovered, and up to which symmetry."""

from identax.metrics.balanced import BalancedSplit, balanced_sizes, balanced_split
from identax.metrics.correlation import mcc, rank_matched_mcc
from identax.metrics.coverage import grid_coverage
from identax.metrics.disentanglement import (
    beta_vae_score,
    dci,
    dci_scores,
    explicitness,
    factor_vae_score,
    infomec,
    mig,
    modularity,
    sap,
)
from identax.metrics.duality import DualityScores, duality_scores, ica_mcc
from identax.metrics.fast_ica import FastICA, fast_ica
from identax.metrics.graphs import normalised_shd, structural_hamming_distance
from identax.metrics.grouped_correlation import batch_mcc, chance_mcc, epoch_mcc, within_mcc
from identax.metrics.ima import c_ima, column_norms, conformal_contrast, mean_jacobian_c_ima
from identax.metrics.linear_map import head_r2, singular_value_error
from identax.metrics.linear_systems import (
    amari_distance,
    frequency_grid,
    relative_error,
    transfer_function_error,
)
from identax.metrics.logistic import LogisticFit, logistic_regression
from identax.metrics.padded_mcc import padded_mcc
from identax.metrics.pearson import compiled_pearson_readout, pearson_readout
from identax.metrics.plasticity import (
    dormant_share,
    effective_rank,
    numerical_rank,
    stable_rank,
    weight_distance,
    weight_magnitude,
    weight_norm,
)
from identax.metrics.polar import polar_distance
from identax.metrics.precision import precision_recovery
from identax.metrics.readout import linear_readout_accuracy
from identax.metrics.regression import block_r2, linear_r2
from identax.metrics.returns import (
    area_under_curve,
    best_average,
    exponential_average,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
    relative_scores,
    stratified_bootstrap,
)
from identax.metrics.scaling import z_score
from identax.metrics.self_consistency import dead_dims, self_consistency
from identax.metrics.significance import bonferroni, one_sample_t_test, standard_error
from identax.metrics.varsortability import varsortability
from identax.metrics.weight_entropy import cumulative_entropy, weight_entropy

__all__ = [
    "BalancedSplit",
    "DualityScores",
    "FastICA",
    "LogisticFit",
    "amari_distance",
    "area_under_curve",
    "balanced_sizes",
    "balanced_split",
    "batch_mcc",
    "best_average",
    "beta_vae_score",
    "block_r2",
    "bonferroni",
    "c_ima",
    "chance_mcc",
    "column_norms",
    "compiled_pearson_readout",
    "conformal_contrast",
    "cumulative_entropy",
    "dci",
    "dci_scores",
    "dead_dims",
    "dormant_share",
    "duality_scores",
    "effective_rank",
    "epoch_mcc",
    "explicitness",
    "exponential_average",
    "factor_vae_score",
    "fast_ica",
    "frequency_grid",
    "grid_coverage",
    "head_r2",
    "ica_mcc",
    "infomec",
    "interquartile_mean",
    "linear_r2",
    "linear_readout_accuracy",
    "logistic_regression",
    "mcc",
    "mean_jacobian_c_ima",
    "mig",
    "modularity",
    "normalised_shd",
    "numerical_rank",
    "one_sample_t_test",
    "optimality_gap",
    "padded_mcc",
    "pearson_readout",
    "polar_distance",
    "precision_recovery",
    "probability_of_improvement",
    "rank_matched_mcc",
    "relative_error",
    "relative_scores",
    "sap",
    "self_consistency",
    "singular_value_error",
    "stable_rank",
    "standard_error",
    "stratified_bootstrap",
    "structural_hamming_distance",
    "transfer_function_error",
    "varsortability",
    "weight_distance",
    "weight_entropy",
    "weight_magnitude",
    "weight_norm",
    "within_mcc",
    "z_score",
]
