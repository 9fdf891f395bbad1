"""Identification of Gaussian linear systems from environments with different control variances."""

from identax.lti.system import Environments, LinearSystem

__all__ = ["Environments", "LinearSystem"]
