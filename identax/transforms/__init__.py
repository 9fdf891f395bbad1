"""Schedules and gradient transformations for optax that optax does not have, and perturbations behind an update."""

from identax.transforms.entrywise_adam import scale_by_entrywise_adam
from identax.transforms.groups import per_group
from identax.transforms.perturbation import (
    Perturbation,
    PerturbationState,
    after_update,
    as_event,
    forget,
    with_perturbation,
)
from identax.transforms.schedules import cosine, inverse_square_root
from identax.transforms.selection import select
from identax.transforms.selective import average_descent, dash, selective_reinitialisation
from identax.transforms.touch import idle_window, reinitialise_touch, shuffle_touch, window_coverage
from identax.transforms.units import Hidden, continual_backprop, dormancy, hidden_layers, redo
from identax.transforms.weight_windows import reinitialise, shuffle
from identax.transforms.weightwise import (
    glorot_uniform,
    reinitialise_weights,
    reset_weights,
    shrink_and_perturb,
    shuffle_weights,
)

__all__ = [
    "Hidden",
    "Perturbation",
    "PerturbationState",
    "after_update",
    "as_event",
    "average_descent",
    "continual_backprop",
    "cosine",
    "dash",
    "dormancy",
    "forget",
    "glorot_uniform",
    "hidden_layers",
    "idle_window",
    "inverse_square_root",
    "per_group",
    "redo",
    "reinitialise",
    "reinitialise_touch",
    "reinitialise_weights",
    "reset_weights",
    "scale_by_entrywise_adam",
    "select",
    "selective_reinitialisation",
    "shrink_and_perturb",
    "shuffle",
    "shuffle_touch",
    "shuffle_weights",
    "window_coverage",
    "with_perturbation",
]
