"""Interventions identify Gaussian linear systems (Rajendran et al. 2024)."""
