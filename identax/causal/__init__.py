"""Tests of what causal models say about data: conditional independence of Gaussian variables."""

from identax.causal.independence import fisher_z_test, partial_correlation

__all__ = ["fisher_z_test", "partial_correlation"]
