"""Identification of Gaussian linear systems from environments with different control variances."""

from identax.dgp.lti_discretise import zero_order_hold
from identax.dgp.lti_system import Environments, LinearSystem, variability_matrix
from identax.lti.closed_form import closed_form_unmixing, innovation_regression, joint_diagonalise, match_rows
from identax.lti.identify import Identification, identify_lti
from identax.lti.instruments import instrumental_regression
from identax.lti.kalman import Smoothed, joint_loglik, kalman_loglik, kalman_smoother
from identax.lti.kalman_fit import KalmanFit, fit_kalman
from identax.lti.likelihood import conditional_loglik, published_loglik
from identax.lti.mle import ConditionalFit, fit_conditional, fit_from_starts, random_starts
from identax.lti.moments import Moments, pair_moments
from identax.lti.published import decay_limit, wls_of_moments, wls_unmixing
from identax.lti.realisation import controllability, ho_kalman, markov_parameters, observability, transfer_function
from identax.lti.sgd import published_epoch

__all__ = [
    "ConditionalFit",
    "Environments",
    "Identification",
    "KalmanFit",
    "LinearSystem",
    "Moments",
    "Smoothed",
    "closed_form_unmixing",
    "conditional_loglik",
    "controllability",
    "decay_limit",
    "fit_conditional",
    "fit_from_starts",
    "fit_kalman",
    "ho_kalman",
    "identify_lti",
    "innovation_regression",
    "instrumental_regression",
    "joint_diagonalise",
    "joint_loglik",
    "kalman_loglik",
    "kalman_smoother",
    "markov_parameters",
    "match_rows",
    "observability",
    "pair_moments",
    "published_epoch",
    "published_loglik",
    "random_starts",
    "transfer_function",
    "variability_matrix",
    "wls_of_moments",
    "wls_unmixing",
    "zero_order_hold",
]
