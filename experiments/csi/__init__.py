"""Reizinger, Bizeul, Juhos, Vogt, Balestriero, Brendel, Klindt: Cross-Entropy Is All You Need To Invert the DGP."""
