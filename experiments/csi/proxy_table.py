"""Features with known content: some binary proxies are in them along a random direction each, the others are not."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from identax.rng import stream


def synthetic_proxies(
    key: Key[Array, ""], num_images: int, counts: Sequence[int], *, exclusive: bool = False
) -> Bool[Array, "N P"]:
    """Draws `counts[k]` random images as positives of proxy k, for every proxy.

    The proxies are independent; if `exclusive`, no image has two of them, the first proxy apart (as in ImageNet-X,
    where the first is the class and of the factors one alone is kept).
    Raises `ValueError` for counts outside 1 ... num_images - 1, or exclusive proxies that need more images.
    """
    if not all(0 < count < num_images for count in counts) or (exclusive and sum(counts[1:]) > num_images):
        how = ", of which all but the first must fit together" if exclusive else ""
        raise ValueError(f"synthetic_proxies: found counts {list(counts)}, wanted 1 ... {num_images - 1}{how}")
    columns, start = [], 0
    for number, count in enumerate(counts):
        shared = exclusive and number > 0
        order = jax.random.permutation(stream(key, "factors" if shared else f"proxy {number}"), num_images)
        columns.append((order >= start) & (order < start + count))
        start += count if shared else 0
    return jnp.stack(columns, axis=1)


def synthetic_features(
    key: Key[Array, ""],
    proxies: Bool[Array, "N P"],
    num_dims: int,
    *,
    planted: Sequence[int],
    hidden: Sequence[int] = (),
    signal: float = 4.0,
    nuisance: float = 3.0,
    num_nuisances: int = 4,
    offset: float = 2.0,
) -> Float[Array, "N m"]:
    """Features that hold the `planted` proxies (their numbers) and nothing of the others.

        x = offset +- signal (a - mean(a)) D + nuisance u E + noise

    a: proxies 0 or 1; D: a random unit vector for each planted proxy, 0 for the others; u: `num_nuisances` normal
    variables of each image along random unit vectors E; noise: normal, variance 1. So classes of a planted proxy lie
    `signal` noise deviations apart. Means of columns are +offset, -offset, +offset, ...; the vectors of the `hidden`
    ones among the planted have entries in columns of negative mean alone.
    Raises `ValueError` for a hidden proxy that is not planted, or fewer than 2 columns.
    """
    if not set(hidden) <= set(planted) or num_dims < 2:
        raise ValueError(
            f"synthetic_features: found hidden={list(hidden)}, planted={list(planted)}, num_dims={num_dims}, wanted "
            "hidden ones among the planted, and 2 columns or more"
        )
    num_images, num_proxies = proxies.shape
    numbers = jnp.arange(num_proxies)
    negative = jnp.arange(num_dims) % 2 == 1
    vectors = jax.random.normal(stream(key, "directions"), (num_proxies, num_dims))
    vectors = jnp.where(jnp.isin(numbers, jnp.array(hidden, int))[:, None] & ~negative[None, :], 0.0, vectors)
    vectors = jnp.where(jnp.isin(numbers, jnp.array(planted, int))[:, None], _unit(vectors), 0.0)
    shares = proxies.astype(float) - jnp.mean(proxies, axis=0, keepdims=True)
    shared = _unit(jax.random.normal(stream(key, "nuisance directions"), (num_nuisances, num_dims)))
    variables = jax.random.normal(stream(key, "nuisances"), (num_nuisances, num_images)).T
    noise = jax.random.normal(stream(key, "noise"), (num_dims, num_images)).T
    means = jnp.where(negative, -offset, offset)[None, :]
    highest = jax.lax.Precision.HIGHEST
    planted_part = signal * jnp.matmul(shares, vectors, precision=highest)
    return means + planted_part + nuisance * jnp.matmul(variables, shared, precision=highest) + noise


def _unit(vectors):
    return vectors / jnp.sqrt(jnp.sum(vectors**2, axis=1, keepdims=True))
