"""Autoregressive models are not identified by their loss (Reizinger et al. 2024; Meszaros et al. 2024)."""
