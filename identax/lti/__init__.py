"""Identification of Gaussian linear systems from environments with different control variances."""

from identax.lti.discretise import zero_order_hold
from identax.lti.instruments import instrumental_regression
from identax.lti.kalman import Smoothed, joint_loglik, kalman_loglik, kalman_smoother
from identax.lti.kalman_fit import KalmanFit, fit_kalman
from identax.lti.realisation import controllability, ho_kalman, markov_parameters, observability, transfer_function
from identax.lti.system import Environments, LinearSystem

__all__ = [
    "Environments",
    "KalmanFit",
    "LinearSystem",
    "Smoothed",
    "controllability",
    "fit_kalman",
    "ho_kalman",
    "instrumental_regression",
    "joint_loglik",
    "kalman_loglik",
    "kalman_smoother",
    "markov_parameters",
    "observability",
    "transfer_function",
    "zero_order_hold",
]
