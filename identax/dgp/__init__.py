"""Data-generating processes: spaces, laws on them, mixings, and worlds made of these."""

from identax.dgp.anisotropic import FisherBingham, ShellProjectedNormal
from identax.dgp.base import DGP, Sample
from identax.dgp.conditionals import Conditional, GeneralizedNormal, Laplace, Normal, Uniform
from identax.dgp.mixings import Mixing, identity, orthogonal, random_invertible_mlp
from identax.dgp.pairs import anisotropic_pairs, bimodal_precision, contrastive_pairs, linear_precision
from identax.dgp.spaces import Box, Euclidean, Space, Sphere
from identax.dgp.spherical import VonMisesFisher

__all__ = [
    "DGP",
    "Box",
    "Conditional",
    "Euclidean",
    "FisherBingham",
    "GeneralizedNormal",
    "Laplace",
    "Mixing",
    "Normal",
    "Sample",
    "ShellProjectedNormal",
    "Space",
    "Sphere",
    "Uniform",
    "VonMisesFisher",
    "anisotropic_pairs",
    "bimodal_precision",
    "contrastive_pairs",
    "identity",
    "linear_precision",
    "orthogonal",
    "random_invertible_mlp",
]
