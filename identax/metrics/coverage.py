"""Whether all combinations of factors occur: how much of their domain samples reach."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_count, check_finite, concrete
from identax.inputs import numbers
from identax.metrics._samples import Samples, check_samples, unmoved

_MOST_CELLS = 2**24


def grid_coverage(latents: Samples, *, bins: int = 5, low: Any = None, high: Any = None) -> Float[Array, ""]:
    """Share of the bins^n cells of a grid over [low, high]^n in which at least one sample lies.

    1 where all combinations of (binned) factors were seen. `low`, `high`: bounds of the domain, numbers or [n]; by
    default the smallest and largest sample of each dim, which also scores estimates whose domain is not known, and NaN
    where one of these is not finite. Samples beyond the bounds are in no cell. A premise of identification by
    orthogonality, not a score: at N samples even full support leaves about (1 - bins^-n)^N of the cells empty, so
    compare at equal N.
    Args: `latents` [N, n], N >= 2. Raises `ValueError` for bins < 1, more than 16 million cells, and bounds that are
    known not to be finite or to be in the wrong order.
    Source: own, for the premise of Simon et al. 2026 (all combinations of factors).
    """
    where = "grid_coverage"
    check_count(where, "bins", bins)
    latents = numbers(where, "latents", latents)
    check_samples(where, latents=latents)
    dim = np.shape(latents)[1]
    if bins**dim > _MOST_CELLS:
        raise ValueError(
            f"{where}: found {bins} bins in {dim} dims, {bins**dim:.2g} cells; wanted at most {_MOST_CELLS}"
        )
    for name, bound in (("low", low), ("high", high)):
        if bound is not None:
            check_finite(where, name, numbers(where, name, bound))
            if np.shape(bound) not in ((), (dim,)):
                raise ValueError(f"{where}: found {name} of shape {np.shape(bound)}, wanted a number or [{dim}]")
    known_low, known_high = (None if bound is None else concrete(bound) for bound in (low, high))
    if known_low is not None and known_high is not None and not np.all(known_low < known_high):
        raise ValueError(f"{where}: found low {known_low} and high {known_high}, wanted low < high")
    (samples,) = unmoved(where, latents=latents)
    bounds = [
        end(samples, axis=0) if bound is None else jnp.broadcast_to(jnp.asarray(bound, samples.dtype), (dim,))
        for bound, end in ((low, jnp.min), (high, jnp.max))
    ]
    return _coverage(int(bins), samples, *bounds)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _coverage(bins, samples, low, high):
    width = jnp.where(high > low, high - low, 1.0)
    place = jnp.floor((samples - low[None]) / width[None] * bins).astype(jnp.int32)
    inside = jnp.all((samples >= low[None]) & (samples <= high[None]), axis=1)
    cell = jnp.zeros(len(samples), jnp.int32)
    for k in range(samples.shape[1]):
        cell = cell * bins + jnp.clip(place[:, k], 0, bins - 1)
    size = bins ** samples.shape[1]
    seen = jnp.zeros(size + 1, bool).at[jnp.where(inside, cell, size)].set(True)
    bounded = jnp.all(jnp.isfinite(low) & jnp.isfinite(high))
    return jnp.where(bounded, seen[:size].mean(dtype=samples.dtype), jnp.nan)
