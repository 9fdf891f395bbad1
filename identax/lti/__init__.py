"""Identification of Gaussian linear systems from environments with different control variances."""

from identax.lti.discretise import zero_order_hold
from identax.lti.realisation import controllability, ho_kalman, markov_parameters, observability, transfer_function
from identax.lti.system import Environments, LinearSystem

__all__ = [
    "Environments",
    "LinearSystem",
    "controllability",
    "ho_kalman",
    "markov_parameters",
    "observability",
    "transfer_function",
    "zero_order_hold",
]
