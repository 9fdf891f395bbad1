"""Rendered images whose continuous factors follow Beta laws, independent or tied by a Gaussian copula."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from identax.dgp.base import DGP, Sample, compiled, positive_parameter
from identax.dgp.copula import correlated_beta, correlation_matrix
from identax.dgp.factors import Factor
from identax.dgp.image_world import ImageWorld
from identax.rng import stream

_PARAMETERS = 2.0, 15.0


def beta_images(
    world: ImageWorld,
    *,
    alpha: ArrayLike | Sequence[Any] | None = None,
    beta: ArrayLike | Sequence[Any] | None = None,
    correlation: ArrayLike | Sequence[Any] | None = None,
) -> DGP:
    """The images of a rendered world, with factor_i = low_i + (high_i - low_i) u_i, u_i ~ Beta(alpha_i, beta_i).

    i runs over the k continuous factors of more than one value, in the world's order; (low, high) are their bounds.
    Categorical factors are uniform and independent. `alpha`, `beta`: [k], given here or to
    `init(key, alpha=..., beta=...)`; what is not given is drawn once from U[2, 15]. `correlation`: of the copula
    (`correlated_beta`), a number or [k, k]; None: independent.
    Truth {"alpha", "beta"}; latents are the factors' values [n, K], observations the images [n, H, W, C].

    Raises `ValueError` for a world without such factors, parameters that are not [k] and > 0, and what is no positive
    definite correlation.
    Source: Reizinger et al. 2022, code.
    """
    free = _varied(world)
    if not free:
        raise ValueError(f"beta_images: found the factors {world.factor_names}, wanted a continuous one that varies")
    for name, given in (("alpha", alpha), ("beta", beta)):
        if given is not None:
            positive_parameter("beta_images", name, given, (len(free),))
    if correlation is not None:
        correlation_matrix("beta_images", correlation, len(free))

    def init(key: Key[Array, ""], *, alpha: Any = alpha, beta: Any = beta) -> dict[str, Array]:
        truth = {}
        for name, given in (("alpha", alpha), ("beta", beta)):
            if given is None:
                given = jax.random.uniform(
                    stream(key, name), (len(free),), minval=_PARAMETERS[0], maxval=_PARAMETERS[1]
                )
            truth[name] = positive_parameter("beta_images", name, given, (len(free),))
        return truth

    def draw(truth: dict[str, Array], key: Key[Array, ""], n: int) -> Sample:
        within = stream(key, "factors")
        if correlation is None:
            shape = (n, len(free))
            alpha, beta = (jnp.broadcast_to(truth[name], shape) for name in ("alpha", "beta"))
            u = jax.random.beta(within, alpha, beta, shape)
        else:
            u = correlated_beta(within, n, truth["alpha"], truth["beta"], correlation)
        codes = world.grid.sample_codes(stream(key, "categories"), n)
        factors = world.grid.values(codes).astype(u.dtype)
        for column, (place, factor) in enumerate(free):
            low, high = factor.bounds or (0, 1)
            factors = factors.at[:, place].set(low + (high - low) * u[:, column])
        return Sample(factors, world.render_batch(factors))

    return DGP(init, compiled(draw, static=(2,)))


def _varied(world: ImageWorld) -> list[tuple[int, Factor]]:
    """Places and factors that are continuous and have more than one value."""
    return [(k, factor) for k, factor in enumerate(world.grid.factors) if factor.continuous and factor.size > 1]


def factor_moments(
    world: ImageWorld, alpha: ArrayLike | Sequence[Any], beta: ArrayLike | Sequence[Any]
) -> dict[str, Array]:
    """Means and standard deviations of the continuous factors under Beta laws, {"mean": [k], "std": [k]}.

    mean = low + (high - low) alpha / (alpha + beta); std = (high - low) sqrt(alpha beta / (alpha + beta + 1)) /
    (alpha + beta). Raises `ValueError` for parameters that are not [k] and > 0.
    """
    free = _varied(world)
    shape = (len(free),)
    a, b = (positive_parameter("factor_moments", *named, shape) for named in (("alpha", alpha), ("beta", beta)))
    low, high = (jnp.asarray([(factor.bounds or (0, 1))[end] for _, factor in free], a.dtype) for end in (0, 1))
    total = a + b
    return {"mean": low + (high - low) * a / total, "std": (high - low) * jnp.sqrt(a * b / (total + 1)) / total}
