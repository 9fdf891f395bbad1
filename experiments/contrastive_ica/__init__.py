"""Contrastive Learning Inverts the Data Generating Process (Zimmermann et al., ICML 2021)."""
