"""Priors whose parameters are learned with the autoencoder."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_count
from identax.models.base import Model
from identax.models.mlp import mlp


def prior_net(n: int, *, num_layers: int = 2, factor: int = 4) -> Model:
    """An MLP from the constant 1 to 2n raw parameters of a prior: `num_layers` linear maps, factor * n hidden units.

    As its input never changes, it is a free vector of 2n numbers that is learned through an MLP, which sets where it
    starts and how fast Adam moves it. Xavier-uniform weights, leaky ReLU with slope 0.2. See `raw_parameters`.
    Raises `ValueError` for sizes < 1. Source: Reizinger et al. 2022, code (the conditioner of the prior).
    """
    for name, size in (("n", n), ("num_layers", num_layers), ("factor", factor)):
        check_count("prior_net", name, size)
    hidden = (factor * n,) * (num_layers - 1)
    return mlp((*hidden, 2 * n), kernel_init="xavier_uniform", slope=0.2)


def raw_parameters(model: Model, variables: Any, dtype: Any = float) -> Float[Array, "two n"]:
    """What `prior_net` gives for its constant input, as rows o [2, n].

    `learned_beta_prior`(o) is the published prior of images; `gaussian_prior(jnp.exp(o[1]), o[0])` the learned normal.
    """
    outputs, _ = model.apply(variables, jnp.ones((1, 1), dtype))
    return outputs.reshape(2, -1)
