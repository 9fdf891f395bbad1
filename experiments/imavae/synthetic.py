"""The study of a synthetic world: what its known map allows to measure beside what every autoencoder has."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.config import VaeConfig
from experiments.imavae.vae import Parts, synthetic_parts, vae_study, variables
from experiments.imavae.worlds import World
from identax.jacobians import jacobian
from identax.metrics import amari_distance, conformal_contrast, mig, sap
from identax.models import decoder_function
from identax.study import State, Study

Extra = Callable[[State, Any, Any], dict[str, Any]]


def synthetic_study(config: VaeConfig, world: World, *, extra: Extra = lambda state, drawn, z: {}) -> Study:
    """`vae_study` of MLPs on this world; with `config.further` evaluations give `recovery` too."""
    parts = synthetic_parts(config, world.dgp)

    def measured(state, drawn, z):
        found = extra(state, drawn, z)
        return found | recovery(parts, world, state, drawn, z) if config.further else found

    return vae_study(config, parts, extra=measured)


def recovery(parts: Parts, world: World, state: State, drawn: Any, z: Any) -> dict[str, Any]:
    """How far codes z [N, n] and the decoder are from sources and their mixing up to order and scale.

    The Amari distance is of W A at every sample, W the inverse of the decoder's Jacobian at the code and A the
    Jacobian of the mixing at the source, squared as in the paper's code; its mean is over samples where W exists.
    """
    truth, decode = state.truth["world"], decoder_function(parts.model, variables(state))
    learned, true = jacobian(decode, z), jacobian(lambda s: world.decode(truth, s), drawn.latents)
    distances = jax.vmap(lambda product: amari_distance(product, squared=True))(jnp.linalg.solve(learned, true))
    return {
        "Amari distance": jnp.nanmean(jnp.where(jnp.isfinite(distances), distances, jnp.nan)),
        "conformal contrast": conformal_contrast(learned).mean(),
        "MIG": mig(drawn.latents, z),
        "SAP": sap(drawn.latents, z),
    }
