"""What the optimum of a synthetic world is, in float64 on the host, before anything is trained."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imavae.sweeps import at_precision
from experiments.imavae.vae import PRIORS
from experiments.imavae.worlds import World
from identax.assumptions import Prediction, Premise, Report
from identax.assumptions.ima import l_ima, log_likelihood
from identax.assumptions.ima_collapse import collapse_instability, collapse_threshold, collapsed_elbo
from identax.assumptions.ima_elbo import elbo_star, gauss_hermite

NUM = 16
"""latents over which optima of encoders are averaged; densities take `NUM_DENSITY`"""
NUM_DENSITY = 4096
MATCHES = {"uniform": ("uniform", "beta"), "logistic": (), "gaussian": ("gaussian",), "laplace": ("laplace",)}
"""laws of the sources that a prior equals, up to shifts"""


def synthetic_report(config: Any, precisions: Sequence[float], world: World) -> Report:
    """Premises of one world and its optimum at every precision; of a world that every seed draws anew, one of them."""
    with jax.enable_x64(True):
        return _report(config, precisions, world)


def _report(config: Any, precisions: Sequence[float], world: World) -> Report:
    prior = PRIORS[config.prior]()
    truth = world.dgp.init(jax.random.key(0))
    shift = 0.5 if config.prior == "uniform" else 0.0  # sources lie around 0, a squashed latent around 1/2
    z = world.sources.sample(jax.random.key(1), NUM_DENSITY) + shift

    def function(z):
        return world.decode(truth, z - shift)

    x = np.asarray(function(z))
    density, bound = (float(np.mean(part(function, z, prior))) for part in (log_likelihood, l_ima))
    nodes = gauss_hermite(config.dim, 8) if config.dim <= 3 else None
    threshold = (
        collapse_threshold(function, z[:NUM], prior=prior, nodes=nodes, num_steps=12, digits=0.01)
        if config.dim <= 3
        else float("nan")
    )
    unstable = collapse_instability(x)
    predictions = [
        Prediction("-log p(x)", -density, "exact density of noise-free observations, with the model's prior"),
        Prediction("-L_IMA", -bound, "what -ELBO of the true decoder tends to as gamma^2 grows"),
        Prediction("C_IMA", density - bound, "L_IMA lies that much below log p; 0 for orthogonal columns"),
        Prediction(
            "gamma^2 that leaves collapse", threshold, "there the true decoder overtakes a model without latents"
        ),
        Prediction("gamma^2 where collapse is unstable", unstable, "1 / largest eigenvalue of cov x"),
    ]
    for precision in precisions:
        where = f", {at_precision(precision)}"
        collapsed = -float(collapsed_elbo(x, prior=prior, precision=precision, dim=config.dim))
        predictions.append(Prediction(f"-ELBO of collapse{where}", collapsed, "from cov x alone"))
        if config.dim <= 3:
            best = elbo_star(function, z[:NUM], prior=prior, precision=precision, nodes=nodes, num_steps=12)
            # The gap to log p varies less between latents than log p itself, whose mean over more of them is known.
            gap = float(jnp.mean(log_likelihood(function, z[:NUM], prior) - best.value))
            value = gap - density
            predictions.append(
                Prediction(f"-ELBO*{where}", value, f"true decoder, best encoder; {NUM} latents, quadrature")
            )
    return Report(_premises(config, world.sources, world.orthogonal, precisions, threshold), predictions)


def _premises(config, sources, orthogonal, precisions, threshold):
    above = [precision for precision in precisions if precision > threshold]
    return [
        Premise(
            "prior is the sources' law",
            sources.name in MATCHES[config.prior],
            f"{sources.name} sources, {config.prior} prior",
            "the ELBO's limit is a likelihood under the prior",
        ),
        Premise(
            "log-concave smooth prior",
            config.prior in ("gaussian", "uniform", "logistic"),
            f"{config.prior}{', logistic before its sigmoid' if config.prior == 'uniform' else ''}",
            "optimal posteriors are narrow only where the prior is smooth",
        ),
        Premise(
            "independent mechanisms",
            orthogonal,
            "orthogonal columns" if orthogonal else "columns are not orthogonal",
            "self-consistency needs it not; recovery of the sources does",
        ),
        Premise(
            "near-deterministic decoder",
            None if np.isnan(threshold) else bool(above),
            f"gamma^2 from {min(precisions):g} to {max(precisions):g}"
            + ("" if np.isnan(threshold) else f", {len(above)} of {len(precisions)} above the threshold of collapse"),
            "below the threshold the best model ignores its latents",
        ),
    ]
