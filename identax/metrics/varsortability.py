"""Does the variance of the variables grow along the edges of a graph, so that sorting by it finds the graph?"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_finite, check_shape
from identax.inputs import centred, numbers
from identax.metrics._samples import Samples


def varsortability(x: Samples, adjacency: Any) -> Float[Array, ""]:
    """Share of directed paths at whose end the variance is larger than at their start; equal ones count half.

        sum_k #{(i, j) joined by a path of k edges, Var x_i < Var x_j} / sum_k #{(i, j) joined by a path of k edges}

    for k = 1 ... d - 1: 1 where sorting by variance is a causal order, 1/2 where scales say nothing, 0 where it is the
    order backwards. High values are what least squares (`causal.notears`) lives on, and change with the units.
    Args: `x` [N, d], N >= 2; `adjacency` [d, d], entry (i, j) of i -> j: 0 where there is none. NaN without an edge and
    for samples that are not finite.
    Raises `ValueError` for other shapes, what is no array of numbers, and edges that are not finite.
    Source: Reisach et al., "Beware of the Simulated DAG!", NeurIPS 2021.
    """
    where = "varsortability"
    shape = np.shape(numbers(where, "x", x))
    if len(shape) != 2 or shape[0] < 2 or shape[1] < 1:
        raise ValueError(f"{where}: found x of shape {shape}, wanted [N, d] with N >= 2 and d >= 1")
    edges = numbers(where, "adjacency", adjacency)
    check_shape(where, "adjacency", edges, (shape[1], shape[1]))
    check_finite(where, "adjacency", edges)
    (values,) = centred(where, x=x)
    return _share(values, edges)


@functools.partial(jax.jit, inline=True)
def _share(x, edges):
    edges = (edges != 0).astype(x.dtype)
    variance = (x**2).mean(axis=0)
    start, end = variance[:, None], variance[None, :]
    equal = jnp.abs(start - end) <= 16 * jnp.finfo(x.dtype).eps * jnp.maximum(start, end)
    grows = jnp.where(equal, 0.5, (start < end).astype(x.dtype))

    def further(k, carry):
        joined, sorted_paths, paths = carry
        joined = jnp.minimum(joined @ edges, 1)
        return joined, sorted_paths + (joined * grows).sum(), paths + joined.sum()

    start = (edges, (edges * grows).sum(), edges.sum())
    _, sorted_paths, paths = jax.lax.fori_loop(1, max(x.shape[1] - 1, 1), further, start)
    return jnp.where(jnp.isfinite(variance).all(), sorted_paths / paths, jnp.nan)
