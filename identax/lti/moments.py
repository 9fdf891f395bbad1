"""First and second moments of pairs in every environment: all that Gaussian likelihoods need."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_shape
from identax.inputs import float_type, numbers
from identax.lti._checks import Data


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moments:
    """Of z = [y_t, y_{t+1}] in each environment: `share` [E] of all pairs, `mean` [E, 2 d_y], `covariance`
    [E, 2 d_y, 2 d_y] (divided by the number of pairs, not one less).
    """

    share: Any
    mean: Any
    covariance: Any

    @property
    def second(self) -> Float[Array, "E p p"]:
        """E[z z^T] in each environment."""
        return self.covariance + self.mean[:, :, None] * self.mean[:, None, :]

    @property
    def dim(self) -> int:
        """Number of observed variables, d_y."""
        return self.mean.shape[-1] // 2


def pair_moments(pairs: Data) -> Moments:
    """Moments of as many pairs [E, P, 2, d_y] in every environment.

    Arrays of the host are averaged there in float64, whatever their offset. Raises `ValueError` for another shape and
    complex entries.
    """
    given = numbers("pair_moments", "pairs", pairs)
    check_shape("pair_moments", "pairs", given, ("E", "P", 2, "d"))
    dtype = float_type(given)
    if isinstance(given, np.ndarray):
        z = given.reshape(*given.shape[:2], -1).astype(np.float64)
        mean = z.mean(axis=1)
        centred = z - mean[:, None, :]
        covariance = np.swapaxes(centred, 1, 2) @ centred / z.shape[1]
        return Moments(*(jnp.asarray(part, dtype) for part in (np.full(len(z), 1 / len(z)), mean, covariance)))
    z = given.reshape(*given.shape[:2], -1).astype(dtype)
    mean = z.mean(axis=1)
    centred = z - mean[:, None, :]
    covariance = jnp.einsum("epi,epj->eij", centred, centred, precision=jax.lax.Precision.HIGHEST) / z.shape[1]
    return Moments(jnp.full(z.shape[0], 1 / z.shape[0], z.dtype), mean, covariance)


def unequal_moments(pairs: Float[Array | np.ndarray, "N 2 d"], environments: Any, num_environments: int) -> Moments:
    """Moments of labelled pairs, `environments` [N] int; every environment must occur."""
    z = pairs.reshape(pairs.shape[0], -1)

    def of_one(label):
        weight = (environments == label).astype(z.dtype)
        mean = (weight[:, None] * z).sum(axis=0) / weight.sum()
        centred = weight[:, None] * (z - mean[None])
        return weight.mean(), mean, jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / weight.sum()

    return Moments(*jax.lax.map(of_one, jnp.arange(num_environments)))


def reduced_moments(moments: Moments, span: Float[Array | np.ndarray, "k d"]) -> Moments:
    """Moments of [y_t, P y_{t+1}] for rows P that span the range of the residual (d_u < d_y)."""
    dim = moments.dim
    keep = jnp.concatenate([jnp.eye(dim, dtype=span.dtype), jnp.zeros_like(span)], axis=0)
    mix = jnp.concatenate([keep, jnp.concatenate([jnp.zeros((dim, dim), span.dtype), span], axis=0)], axis=1)
    return Moments(moments.share, moments.mean @ mix.T, jnp.einsum("ip,epq,jq->eij", mix, moments.covariance, mix))


def published_value(
    unmixing: Float[Array | np.ndarray, "k p"],
    moments: Moments,
    means: Float[Array | np.ndarray, "E k"],
    variances: Float[Array | np.ndarray, "E k"],
) -> Float[Array, ""]:
    """Mean of `published_loglik` over all pairs, from their moments."""
    error = moments.mean @ unmixing.T - means
    spread = jnp.einsum("ip,epq,iq->ei", unmixing, moments.covariance, unmixing)
    per_environment = -0.5 * ((spread + error**2) / variances + jnp.log(2 * math.pi * variances)).sum(axis=1)
    return jnp.vdot(moments.share, per_environment)


def conditional_value(
    unmixing: Float[Array | np.ndarray, "d p"],
    moments: Moments,
    means: Float[Array | np.ndarray, "E d"],
    variances: Float[Array | np.ndarray, "E d"],
) -> Float[Array, ""]:
    """Mean of `conditional_loglik` over all pairs, from their moments; W_1 are the last d columns."""
    _, logdet = jnp.linalg.slogdet(jnp.asarray(unmixing)[:, -unmixing.shape[0] :])
    return published_value(unmixing, moments, means, variances) + logdet
