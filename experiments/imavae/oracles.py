"""What the optimum of a synthetic world is, in float64 on the host, before anything is trained."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.sweeps import at_precision
from experiments.imavae.vae import PRIORS
from experiments.imavae.worlds import World
from identax.assumptions import (
    Prediction,
    Premise,
    Report,
    collapse_threshold,
    elbo_star,
    gauss_hermite,
    ima_report,
    log_likelihood,
    matched_normals,
)
from identax.checks import check_choice
from identax.experiment import Arm
from identax.run.program import compiler_options

NUM, NUM_DRAWS = 16, 512
"""latents whose best posteriors are computed, and draws instead of quadrature in more than three dims; densities,
contrasts and moments take `NUM_DENSITY`"""
NUM_DENSITY = 4096
MATCHES = {"uniform": ("uniform",), "logistic": (), "gaussian": ("gaussian",), "laplace": ("laplace",)}
"""laws of the sources that a prior equals, up to shifts"""


def premises(arms: Sequence[Arm], world: Callable[[Any], World]) -> dict[str, Callable[[], Report]]:
    """Of every arm, what `synthetic_report` says of its world at its precisions; made when it is asked for."""
    known = [arm for arm in arms if arm.config.precision_rule in ("fixed", "grown")]  # else there is no one optimum
    return {arm.name: functools.partial(_of_arm, arm, world) for arm in known}


def _of_arm(arm: Arm, world: Callable[[Any], World]) -> Report:
    return synthetic_report(arm.config, arm.sweep.get("precision", (arm.config.precision,)), world(arm.config))


def synthetic_report(config: Any, precisions: Sequence[float], world: World) -> Report:
    """Premises of one world and its optimum at every precision; of a world that every seed draws anew, one of them.

    Raises `ValueError` for a prior that has parameters to learn, or none of that name.
    """
    check_choice("imavae", "prior", config.prior, tuple(PRIORS))
    with jax.enable_x64(True):
        return _report(config, precisions, world)


def _report(config: Any, precisions: Sequence[float], world: World) -> Report:
    prior = PRIORS[config.prior]()
    truth = world.dgp.init(jax.random.key(0))
    shift = 0.5 if config.prior == "uniform" else 0.0  # sources lie around 0, a squashed latent around 1/2
    z = world.sources.sample(jax.random.key(1), NUM_DENSITY) + shift

    def function(z):
        return world.decode(truth, z - shift)

    known = ima_report(function, z, prior=prior, precision=precisions, smooth=world.smooth, optimise=False)
    law = Premise(
        "prior is the sources' law",
        world.sources.name in MATCHES[config.prior],
        f"{world.sources.name} sources, {config.prior} prior",
        "the ELBO's limit is a likelihood under the prior",
    )
    predictions = list(known.predictions)
    few, exact = z[:NUM], config.dim <= 3
    nodes = gauss_hermite(config.dim, 8) if exact else matched_normals(jax.random.key(2), config.dim, NUM_DRAWS)
    how = {"prior": prior, "nodes": nodes}
    density = float(next(one.value for one in predictions if one.quantity == "log-likelihood"))
    of_few = jax.jit(lambda z: log_likelihood(function, z, prior), compiler_options=compiler_options())(few)
    for precision in precisions:
        # The gap to log p varies less between latents than log p, whose mean over more of them is known.
        best = elbo_star(function, few, precision=precision, **how)
        gap = float(jnp.mean(of_few - best.value))
        why = f"true decoder, best encoder: {NUM} latents, {'quadrature' if exact else f'{NUM_DRAWS} fixed draws'}"
        predictions.append(Prediction(f"ELBO* at {at_precision(precision)}", density - gap, why))
    if exact:
        threshold = collapse_threshold(function, few, digits=0.01, **how)
        why = f"gamma^2 at which the true decoder overtakes a model without latents, at {NUM} latents"
        predictions.append(Prediction("collapse threshold", threshold, why))
    return Report((law, *known.premises), tuple(predictions))
