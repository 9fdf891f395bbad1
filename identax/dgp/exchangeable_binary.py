"""Binary variables on random directed acyclic graphs, from exchangeable mechanisms."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Key

from identax.checks import check_between, check_count, check_shape, concrete
from identax.dgp.base import compiled
from identax.dgp.exchangeable import topological_order
from identax.dgp.exchangeable_cases import binary_world, check_length, complete_parents
from identax.dgp.rejection import first_accepted
from identax.rng import permutation, stream

_LEAST_SHARE = 1e-4
"""of proposals that are graphs without a lonely variable"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GraphSample:
    """`observations` [E, N, d] and the graph, `adjacency` bool [d, d], entry (i, j) of i -> j."""

    observations: Any
    adjacency: Any


def random_dag(
    key: Key[Array, ""], d: int, *, edge_probability: ArrayLike = 0.5, ordered: bool = False
) -> Bool[Array, "d d"]:
    """An Erdos-Renyi graph on pairs u < v, redrawn until every variable touches an edge; then relabelled at random.

    `ordered` leaves the labels out of it: u -> v has u < v then, and a method that knows the order knows every
    direction (the published study's leak). For d = 3 and probability 1/2 four graphs are equally likely before labels.
    Raises `ValueError` for d < 2, and for a known probability outside [0, 1] or so small that fewer than 1e-4 of the
    graphs are of this kind; of a traced one the graph is empty where none was found.
    Source: Guo et al. 2023, code (the ordered one).
    """
    check_count("random_dag", "d", d, 2)
    check_between("random_dag", "edge_probability", edge_probability, 0, 1, ())
    known = concrete(edge_probability)
    if known is not None and share_covering(d, float(known)) < _LEAST_SHARE:
        raise ValueError(
            f"random_dag: found edge_probability={known} of {d} variables, wanted more: every variable is to touch an "
            f"edge, which fewer than {_LEAST_SHARE} of such graphs do"
        )
    forward = _covering(stream(key, "edges"), jnp.asarray(edge_probability, float), d)
    if ordered:
        return forward
    labels = permutation(stream(key, "labels"), d)
    return forward[labels][:, labels]


def binary_graph(
    key: Key[Array, ""],
    num_environments: int,
    *,
    d: int = 3,
    num_samples: int = 2,
    edge_probability: ArrayLike = 0.5,
    varies: Sequence[Any] | Array | np.ndarray | None = None,
    adjacency: Any = None,
    leak_order: bool = False,
) -> GraphSample:
    """d binary variables of a random graph: z_j = (product of parents) XOR Bern(theta_j), theta_j ~ Beta(1, 3).

    The graph is `random_dag`'s, with labels in random order; with `leak_order` the labels are a topological order, as
    in the published study. `varies` [d], by variable: False holds theta_j at 1/4. `adjacency` [d, d] gives the graph, a
    directed acyclic one (known ones are checked); it must be in topological order if it is traced.
    Raises `ValueError` for d < 2, E < 1, fewer than 2 samples per environment and cyclic graphs.
    Source: Guo et al. 2023, code.
    """
    where = "binary_graph"
    check_count(where, "d", d, 2)
    check_count(where, "num_environments", num_environments)
    check_count(where, "num_samples", num_samples, 2)
    varies = [True] * d if varies is None else varies
    check_length(where, "varies", varies, d)
    if adjacency is None:
        graph = random_dag(stream(key, "graph"), d, edge_probability=edge_probability, ordered=leak_order)
    else:
        check_shape(where, "adjacency", adjacency, (d, d))
        if concrete(adjacency) is not None:
            topological_order(adjacency)
        graph = jnp.asarray(adjacency, bool)
    order = _by_ancestors(graph)
    world = binary_world(complete_parents(d), jnp.stack([jnp.asarray(flag, bool) for flag in varies])[order])
    edges = graph[order][:, order]
    drawn = world.sample(stream(key, "world"), num_environments, num_samples, edges=edges)
    return GraphSample(drawn.observations[..., jnp.argsort(order)], graph)


def share_covering(d: int, probability: float) -> float:
    """P(every one of d variables touches an edge), edges being independent of that probability.

        sum_k (-1)^k C(d, k) (1 - p)^(C(d, 2) - C(d - k, 2)),   the k: variables without an edge

    Beyond 40 variables the lower bound (1 - (1 - p)^(d - 1))^d (Harris 1960): more edges are good for every variable.
    """
    if d > 40:
        return (1 - (1 - probability) ** (d - 1)) ** d
    absent = 1 - Fraction(probability).limit_denominator(10**9)  # exact: in floats the sum cancels
    counted = [(-1) ** k * math.comb(d, k) * absent ** (math.comb(d, 2) - math.comb(d - k, 2)) for k in range(d + 1)]
    return float(sum(counted))


def _by_ancestors(graph):
    """A topological order: whoever has a parent has that one's ancestors, and it, for ancestors."""
    d = graph.shape[0]
    paths = graph.astype(jnp.float32)
    for _ in range(max(d - 1, 1).bit_length()):
        paths = jnp.minimum(paths + jnp.matmul(paths, paths), 1.0)
    return jnp.argsort(paths.sum(axis=0), stable=True)


def _covering_graph(key, probability, d):
    above = jnp.triu(jnp.ones((d, d), bool), 1)

    def propose(key, rows, num):
        drawn = jax.random.bernoulli(key, probability, (d, d, num, rows.shape[-1])) & above[:, :, None, None]
        covered = (drawn.any(axis=0) | drawn.any(axis=1)).all(axis=0)
        return drawn.astype(jnp.float32), covered | jnp.isnan(probability)

    return first_accepted(propose, key, jnp.zeros(1), num_proposals=16)[..., 0] > 0.5


_covering = compiled(_covering_graph, static=(2,))
