"""The IMA contrast of true image generators at sampled factors, and what it predicts for an autoencoder."""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.imavae.images import flat
from identax.assumptions.ima import variance_of
from identax.dgp import ImageWorld
from identax.jacobians import jacobian
from identax.losses import beta_prior
from identax.metrics import c_ima, column_norms

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def generator_jacobians(world: ImageWorld, factors: Any) -> jax.Array:
    """d pixels / d continuous factors of more than one value, [N, pixels, k], each in units of its factor's range."""
    free = [k for k, factor in enumerate(world.grid.factors) if factor.continuous and factor.size > 1]
    bounds = [world.grid.factors[k].bounds or (0, 1) for k in free]
    width = jnp.asarray([high - low for low, high in bounds], factors.dtype)
    at = jnp.asarray(free)

    def one(u, row):
        return world.draw(row.at[at].set(row[at] + u * width))

    def moved(u):
        return flat(jax.vmap(one)(u, factors))

    return jacobian(moved, jnp.zeros((len(factors), len(free)), factors.dtype), chunk_size=len(factors))


def contrast_metrics(slopes: Any) -> dict[str, Any]:
    """c_IMA over factors: its mean and quantiles, columns' norms, and mean squared cosines of all pairs [k, k]."""
    local = c_ima(slopes)
    unit = slopes / column_norms(slopes)[:, None, :]
    cosines = jnp.einsum("npi,npj->nij", unit, unit)
    return {
        "c_IMA": local.mean(),
        "c_IMA quantiles": jnp.quantile(local, jnp.asarray(QUANTILES)),
        "squared cosines": jnp.square(cosines).mean(axis=0),
        "squared column norms": jnp.square(column_norms(slopes)).mean(axis=0),
    }


def predicted_bound(slopes: Any, u: Any, alpha: Any, beta: Any, precision: Any) -> dict[str, Any]:
    """-ELBO and KL of the true generator with the best normal posteriors, to leading order in 1 / gamma^2.

        ELBO ~ -(D/2) log(2 pi / gamma^2) + log p(v) + 1/2 sum_k log(2 pi sigma_k^2),
        sigma_k^2 = 1 / (-d^2 log p / dv_k^2 + gamma^2 ||J_k||^2 (du_k/dv_k)^2),    v = logit u

    `slopes` dx/du [N, D, k] at u [N, k] in (0, 1), whose law is the prior Beta(alpha, beta). The generator's contrast
    enters only through the columns' norms: no term asks whether they are orthogonal.
    """
    prior = beta_prior(alpha, beta)
    v = prior.unsquash(u)
    variance = variance_of(column_norms(slopes), v, prior, precision)
    log_p = prior.log_prob(v).sum(axis=1)
    kl = -0.5 * jnp.log(2 * jnp.pi * jnp.e * variance).sum(axis=1) - log_p
    kl = kl + 0.5 * (variance * prior.curvature(v)).sum(axis=1)
    constant = 0.5 * slopes.shape[1] * jnp.log(2 * jnp.pi / precision)
    value = constant - log_p - 0.5 * jnp.log(2 * jnp.pi * variance).sum(axis=1)
    return {"-ELBO": value.mean(), "KL": kl.mean()}
