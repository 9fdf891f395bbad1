"""Reizinger, Gyires-Toth: Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks, LOD 2019."""
