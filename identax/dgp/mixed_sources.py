"""Worlds of independent sources seen through one mixing, with the exact density of what is seen."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_count
from identax.dgp._checks import points
from identax.dgp.base import DGP, Sample
from identax.dgp.mixings import Mixing
from identax.dgp.sources import Sources
from identax.rng import stream


def mixed_sources(mixing: Mixing, sources: Sources, *, center: int | None = None) -> DGP:
    """s ~ p0 with independent coordinates, x = f(s) - mean (Reizinger et al. 2022; nonlinear ICA in general).

    `init(key) -> {"mixing": weights, "mean" [m]}`: the mean of f(s) over `center` draws, 0 with None. It is part of the
    truth, so that `observe` and `recover` are inverse to each other on centred data too.
    `sample(truth, key, num) -> Sample(latents=s [num, n], observations=x [num, m])`.
    Raises `ValueError` for center < 1.
    """
    if center is not None:
        check_count("mixed_sources", "center", center)

    def init(key: Key[Array, ""]) -> dict[str, Any]:
        weights = mixing.init(stream(key, "world"))
        if center is not None:
            seen = mixing.apply(weights, sources.sample(stream(key, "center"), center))
            return {"mixing": weights, "mean": seen.mean(axis=0)}
        seen = jax.eval_shape(mixing.apply, weights, jax.ShapeDtypeStruct((1, sources.n), jnp.result_type(float)))
        return {"mixing": weights, "mean": jnp.zeros(seen.shape[1:], seen.dtype)}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_count("mixed_sources", "num", num)
        s = sources.sample(stream(key, "sources"), num)
        return Sample(latents=s, observations=observe(mixing, truth, s))

    return DGP(init, sample)


def observe(mixing: Mixing, truth: Any, latents: Any) -> Float[Array, "N m"]:
    """x = f(s) - mean for latents s [N, n] of the world `mixed_sources`: its true decoder."""
    return mixing.apply(truth["mixing"], latents) - truth["mean"][None, :]


def recover(mixing: Mixing, truth: Any, observations: Any) -> Float[Array, "N n"]:
    """s = f^-1(x + mean) for observations x [N, m] of the world `mixed_sources`: its true encoder."""
    x = points("recover", "observations", observations, truth["mean"].shape[0])
    return mixing.inverse(truth["mixing"], x + truth["mean"][None, :])


def log_likelihood(mixing: Mixing, sources: Sources, truth: Any, observations: Any) -> Float[Array, " N"]:
    """log p(x) = log p0(s) - log|det J_f(s)|, s = f^-1(x + mean), in nats: exact, without observation noise.

    Where p0 is bounded, an s outside its box by no more than rounding counts as on its edge: 1000 units of rounding of
    the box's size. Use `latent_log_likelihood` where s is known. Raises `ValueError` for a mixing without `log_det`.
    """
    s = recover(mixing, truth, observations)
    if sources.low is not None and sources.high is not None:
        low, high = jnp.asarray(sources.low, s.dtype), jnp.asarray(sources.high, s.dtype)
        room = 1000 * jnp.finfo(s.dtype).eps * jnp.maximum(jnp.maximum(jnp.abs(low), jnp.abs(high)), high - low)
        edge = jnp.clip(s, low, high)
        s = jnp.where(jnp.abs(s - edge) <= room, edge, s)
    return latent_log_likelihood(mixing, sources, truth, s)


def latent_log_likelihood(mixing: Mixing, sources: Sources, truth: Any, latents: Any) -> Float[Array, " N"]:
    """log p(x) at x = f(s) - mean for latents s [N, n]: log p0(s) - log|det J_f(s)|, without inverting f.

    Raises `ValueError` for a mixing without `log_det`.
    """
    if mixing.log_det is None:
        raise ValueError("log_likelihood: found a mixing without log_det, wanted one that knows its own")
    s = points("log_likelihood", "latents", latents, sources.n)
    return sources.log_prob(s) - mixing.log_det(truth["mixing"], s)
