"""Schedules and gradient transformations for optax that optax does not have."""

from identax.transforms.groups import per_group
from identax.transforms.schedules import cosine

__all__ = ["cosine", "per_group"]
