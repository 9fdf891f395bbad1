"""The study of a synthetic world: what its known map allows to measure beside what every autoencoder has."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.config import VaeConfig
from experiments.imavae.vae import Codes, synthetic_parts, vae_study
from experiments.imavae.worlds import World
from identax.jacobians import jacobian
from identax.metrics import amari_distance, conformal_contrast, mig, sap
from identax.study import State, Study

Extra = Callable[[State, Any, Codes], dict[str, Any]]


def synthetic_study(
    config: VaeConfig,
    world: World,
    *,
    extra: Extra = lambda state, drawn, codes: {},
    truth: Callable[[Any, Any], Any] | None = None,
) -> Study:
    """`vae_study` of MLPs on this world; with `config.further` evaluations give `recovery` too.

    `truth(key, hparams)`: where it depends on a trial's hyper-parameters.
    """

    def measured(state, drawn, codes):
        found = extra(state, drawn, codes)
        return found | recovery(world, state.truth["world"], drawn, codes) if config.further else found

    return vae_study(config, synthetic_parts(config, world.dgp)._replace(truth=truth), extra=measured)


def recovery(world: World, truth: Any, drawn: Any, codes: Codes) -> dict[str, Any]:
    """How far codes and the decoder are from sources and their mixing up to order and scale.

    The Amari distance is of W A at every sample, W the inverse of the decoder's Jacobian at the code and A the
    Jacobian of the mixing at the source, squared as in the paper's code; its mean is over samples where W exists.
    """
    true = jacobian(lambda s: world.decode(truth, s), drawn.latents)
    distances = jax.vmap(lambda product: amari_distance(product, squared=True))(jnp.linalg.solve(codes.slopes, true))
    return {
        "Amari distance": jnp.nanmean(jnp.where(jnp.isfinite(distances), distances, jnp.nan)),
        "conformal contrast": conformal_contrast(codes.slopes).mean(),
        "MIG": mig(drawn.latents, codes.z),
        "SAP": sap(drawn.latents, codes.z),
    }
