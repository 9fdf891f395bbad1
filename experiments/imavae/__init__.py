"""VAEs with near-deterministic decoders perform independent mechanism analysis (Reizinger et al. 2022)."""
