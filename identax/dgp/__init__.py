"""Data-generating processes: spaces, laws on them, mixings, and worlds made of these."""

from identax.dgp.anisotropic import FisherBingham, ShellProjectedNormal
from identax.dgp.base import DGP, Sample
from identax.dgp.beta_images import beta_images, factor_moments
from identax.dgp.clusters import (
    LabelledSample,
    TruncatedLaplace,
    cluster_of,
    label_noise,
    label_prior,
    sphere_clusters,
    swap_labels,
)
from identax.dgp.conditionals import Conditional, GeneralizedNormal, Laplace, Normal, Uniform
from identax.dgp.conditioned_mixing import condition_threshold, conditioned_invertible_mlp
from identax.dgp.copula import correlated_beta, inverse_beta_cdf
from identax.dgp.coupling import affine_coupling
from identax.dgp.decoders import decoder_mixing
from identax.dgp.exchangeable import (
    CausalMechanism,
    ExchangeableMechanisms,
    ExchangeableSample,
    ObservationMechanism,
    SourceMechanism,
    topological_order,
)
from identax.dgp.exchangeable_binary import GraphSample, binary_graph, random_dag
from identax.dgp.exchangeable_bivariate import (
    STRUCTURES,
    VARIABILITIES,
    PairSample,
    binary_pair,
    laplace_pair,
    pair_world,
    shipped_pair,
)
from identax.dgp.exchangeable_cases import (
    binary_world,
    complete_parents,
    fixed_mixing,
    intervened_densities,
    intervened_world,
    linear_world,
)
from identax.dgp.factors import Factor, FactorGrid
from identax.dgp.ginc import ContextPrompts, Ginc, ginc, in_context_prompts
from identax.dgp.hmm_mixture import (
    Documents,
    HmmMixture,
    hmm_mixture,
    predict,
    predictions,
    sample_documents,
    smoothed,
)
from identax.dgp.image_world import ImageWorld
from identax.dgp.linear_maps import rows_at_cosine, unit_column_linear, unit_determinant_linear
from identax.dgp.lti import (
    Pairs,
    Trajectories,
    check_stable,
    make_pairs,
    random_system,
    sample_controls,
    sample_trajectories,
    simulate,
    spectral_radius,
)
from identax.dgp.lti_discretise import zero_order_hold
from identax.dgp.lti_environments import (
    BoundedEnvironments,
    amplitudes,
    bounded_environments,
    designed_environments,
    maximal_environments,
    random_environments,
    state_bound,
)
from identax.dgp.lti_plants import dc_motor, spring_mass_damper
from identax.dgp.lti_system import Environments, LinearSystem, variability_matrix
from identax.dgp.mixed_sources import latent_log_likelihood, log_likelihood, mixed_sources, observe, recover
from identax.dgp.mixings import Mixing, compose, identity, orthogonal, random_invertible_mlp, with_weights
from identax.dgp.modulated_sources import ModulatedSample, modulated_sources, modulated_world
from identax.dgp.moebius import MoebiusWeights, moebius, reference_moebius
from identax.dgp.pairs import (
    anisotropic_pairs,
    bimodal_precision,
    contrastive_anchors,
    contrastive_pairs,
    linear_precision,
)
from identax.dgp.parameter_priors import (
    ParameterPrior,
    bernoulli_prior,
    beta_prior,
    constant_prior,
    given_prior,
    switched_prior,
    uniform_prior,
)
from identax.dgp.polygon_sprites import POLYGONS, polygon_sprites
from identax.dgp.projected import projected_log_prob
from identax.dgp.scenes import SCENE_GRID, SCENE_SHAPES, scenes
from identax.dgp.slow_regression import SlowRegression, TargetNetwork, slow_regression
from identax.dgp.smooth_mlp import monotone_rotation, smooth_mlp, triangular_mlp
from identax.dgp.sources import Sources, beta_sources, gaussian_sources, laplace_sources, uniform_sources
from identax.dgp.spaces import Box, Euclidean, Space, Sphere
from identax.dgp.spherical import VonMisesFisher
from identax.dgp.sprites import SPRITE_GRID, SPRITE_SHAPES, sprites
from identax.dgp.views import ensemble_pairs, pairs_with_negatives
from identax.dgp.warps import affine_map, homography, transform_points

__all__ = [
    "DGP",
    "POLYGONS",
    "SCENE_GRID",
    "SCENE_SHAPES",
    "SPRITE_GRID",
    "SPRITE_SHAPES",
    "STRUCTURES",
    "VARIABILITIES",
    "BoundedEnvironments",
    "Box",
    "CausalMechanism",
    "Conditional",
    "ContextPrompts",
    "Documents",
    "Environments",
    "Euclidean",
    "ExchangeableMechanisms",
    "ExchangeableSample",
    "Factor",
    "FactorGrid",
    "FisherBingham",
    "GeneralizedNormal",
    "Ginc",
    "GraphSample",
    "HmmMixture",
    "ImageWorld",
    "LabelledSample",
    "Laplace",
    "LinearSystem",
    "Mixing",
    "ModulatedSample",
    "MoebiusWeights",
    "Normal",
    "ObservationMechanism",
    "PairSample",
    "Pairs",
    "ParameterPrior",
    "Sample",
    "ShellProjectedNormal",
    "SlowRegression",
    "SourceMechanism",
    "Sources",
    "Space",
    "Sphere",
    "TargetNetwork",
    "Trajectories",
    "TruncatedLaplace",
    "Uniform",
    "VonMisesFisher",
    "affine_coupling",
    "affine_map",
    "amplitudes",
    "anisotropic_pairs",
    "bernoulli_prior",
    "beta_images",
    "beta_prior",
    "beta_sources",
    "bimodal_precision",
    "binary_graph",
    "binary_pair",
    "binary_world",
    "bounded_environments",
    "check_stable",
    "cluster_of",
    "complete_parents",
    "compose",
    "condition_threshold",
    "conditioned_invertible_mlp",
    "constant_prior",
    "contrastive_anchors",
    "contrastive_pairs",
    "correlated_beta",
    "dc_motor",
    "decoder_mixing",
    "designed_environments",
    "ensemble_pairs",
    "factor_moments",
    "fixed_mixing",
    "gaussian_sources",
    "ginc",
    "given_prior",
    "hmm_mixture",
    "homography",
    "identity",
    "in_context_prompts",
    "intervened_densities",
    "intervened_world",
    "inverse_beta_cdf",
    "label_noise",
    "label_prior",
    "laplace_pair",
    "laplace_sources",
    "latent_log_likelihood",
    "linear_precision",
    "linear_world",
    "log_likelihood",
    "make_pairs",
    "maximal_environments",
    "mixed_sources",
    "modulated_sources",
    "modulated_world",
    "moebius",
    "monotone_rotation",
    "observe",
    "orthogonal",
    "pair_world",
    "pairs_with_negatives",
    "polygon_sprites",
    "predict",
    "predictions",
    "projected_log_prob",
    "random_dag",
    "random_environments",
    "random_invertible_mlp",
    "random_system",
    "recover",
    "reference_moebius",
    "rows_at_cosine",
    "sample_controls",
    "sample_documents",
    "sample_trajectories",
    "scenes",
    "shipped_pair",
    "simulate",
    "slow_regression",
    "smooth_mlp",
    "smoothed",
    "spectral_radius",
    "sphere_clusters",
    "spring_mass_damper",
    "sprites",
    "state_bound",
    "swap_labels",
    "switched_prior",
    "topological_order",
    "transform_points",
    "triangular_mlp",
    "uniform_prior",
    "uniform_sources",
    "unit_column_linear",
    "unit_determinant_linear",
    "variability_matrix",
    "with_weights",
    "zero_order_hold",
]
