"""How far a directed graph that was found is from the true one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.checks import concrete, shape_of
from identax.inputs import numbers

Graphs = Any
"""adjacency matrices, entry (i, j) of i -> j: arrays or nested lists of 0, 1 or booleans"""


def normalised_shd(estimated: Graphs, true: Graphs) -> Float[Array, "*sets"]:
    """Share of the edges of both graphs that the other one lacks: 0 for the same graph, 1 for no edge in common.

        (|E \\ T| + |T \\ E|) / (|E| + |T|) = 1 - F1,   E, T the sets of directed edges; 0 where both are empty

    The Dice distance of edge sets, which the papers on causal de Finetti call a normalised structural Hamming distance:
    an edge the wrong way round counts twice, and the denominator is no d (d - 1). Args: [..., d, d], any batch axes.
    Raises `ValueError` for other or unequal shapes, entries other than 0 and 1, edges from a variable to itself.
    Source: Guo et al. 2023, code; Dice 1945.
    """
    return _dice(*_graphs("normalised_shd", estimated, true))


def structural_hamming_distance(estimated: Graphs, true: Graphs) -> Int[Array, "*sets"]:
    """How many pairs of variables are joined differently: an edge too many, too few, or the wrong way round.

        |{ {i, j} : (E_ij, E_ji) != (T_ij, T_ji) }|

    Both directions at once stand for an edge without one, another thing than either. Args: [..., d, d].
    Raises `ValueError` as `normalised_shd`. Source: Tsamardinos, Brown, Aliferis 2006.
    """
    return _pairs(*_graphs("structural_hamming_distance", estimated, true))


@partial(jax.jit, inline=True)
def _dice(estimated, true):
    wrong = (estimated != true).sum(axis=(-2, -1))
    both = estimated.sum(axis=(-2, -1)) + true.sum(axis=(-2, -1))
    return wrong / jnp.maximum(both, 1)


@partial(jax.jit, inline=True)
def _pairs(estimated, true):
    different = estimated != true
    return jnp.triu(different | different.swapaxes(-2, -1), 1).sum(axis=(-2, -1))


def _graphs(where, estimated, true):
    found = {name: numbers(where, name, value) for name, value in (("estimated", estimated), ("true", true))}
    shapes = [shape_of(graph) for graph in found.values()]
    if len(shapes[0]) < 2 or shapes[0][-1] != shapes[0][-2] or 0 in shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(f"{where}: found graphs of shapes {shapes[0]} and {shapes[1]}, wanted both [..., d, d]")
    for name, graph in found.items():
        known = concrete(graph)
        if known is not None and not ((known == 0) | (known == 1)).all():
            raise ValueError(f"{where}: found {name} with entries other than 0 and 1, wanted an adjacency matrix")
        if known is not None and np.diagonal(known, axis1=-2, axis2=-1).any():
            raise ValueError(f"{where}: found {name} with edges from a variable to itself, wanted none")
    return [jnp.asarray(graph, bool) for graph in found.values()]
