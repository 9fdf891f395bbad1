"""One exchangeable model behind causal discovery, nonlinear ICA and causal representations (Reizinger et al. 2025)."""
