"""What graphs say about independence: d-separation, and the graph of several samples of one environment."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from jax.core import Tracer

from identax.checks import check_count, check_shape, concrete
from identax.dgp.exchangeable import topological_order


def d_separated(adjacency: Any, x: Iterable[int], y: Iterable[int], given: Iterable[int] = ()) -> bool:
    """Whether the nodes x are d-separated from y by `given` in a directed acyclic graph.

    True if every path between them has a chain or fork whose middle is given, or a collider with neither itself nor a
    descendant given. `adjacency` [M, M]: entry (i, j) is i -> j. Any sets, empty ones are separated from all.
    Raises `ValueError` for cyclic graphs, sets that overlap and nodes that do not exist.
    Source: Pearl 1988; found by reachability (Shachter 1998).
    """
    graph = np.asarray(adjacency, bool)
    topological_order(adjacency)
    x, y, given = set(x), set(y), set(given)
    nodes = x | y | given
    if len(nodes) < len(x) + len(y) + len(given) or not nodes <= set(range(len(graph))):
        raise ValueError(
            f"d_separated: found x={sorted(x)}, y={sorted(y)}, given={sorted(given)}, wanted disjoint sets of numbers "
            f"from 0 to {len(graph) - 1}"
        )
    return not (_reachable(graph, x, given) & y)


def _reachable(graph, start, given):
    """Nodes with an open path from `start`."""
    visited: set[tuple[int, bool]] = set()
    waiting = deque((node, False) for node in start)  # (node, whether it was entered from a parent)
    found = set()
    while waiting:
        node, from_parent = step = waiting.popleft()
        if step in visited:
            continue
        visited.add(step)
        if node not in given:
            found.add(node)
            waiting.extend((child, True) for child in np.flatnonzero(graph[node]).tolist())
        # a collider that is given; from a given descendant the walk comes back to it as from any child
        if from_parent == (node in given):
            waiting.extend((parent, False) for parent in np.flatnonzero(graph[:, node]).tolist())
    return found


def unrolled_graph(adjacency: Any, varies: Any, num_samples: int = 2) -> np.ndarray:
    """The graph of `num_samples` samples of one environment and the parameters behind them, bool [M, M].

    M = num_samples d + d. Node n d + j is variable j of sample n, node num_samples d + j its mechanism's parameter,
    which points to it in every sample where `varies[j]` and nowhere where its prior is a point mass.
    `adjacency` [d, d]: entry (i, j) is i -> j. Raises `ValueError` for cyclic graphs, other than d flags that
    are known, and num_samples < 1.
    """
    check_count("unrolled_graph", "num_samples", num_samples)
    topological_order(adjacency)
    graph = np.asarray(adjacency, bool)
    d = len(graph)
    flags = known_flags("unrolled_graph", varies, d)
    found = np.zeros(((num_samples + 1) * d,) * 2, bool)
    for n in range(num_samples):
        here = slice(n * d, (n + 1) * d)
        found[here, here] = graph
        found[num_samples * d :, here] = np.diag(flags)
    return found


def known_flags(where: str, varies: Any, d: int) -> np.ndarray:
    """`varies` as booleans [d]. Raises `ValueError` for another number of them, and what is no flag or not known."""
    check_shape(where, "varies", varies, (d,))
    known = concrete(varies) if not any(flag is None or isinstance(flag, Tracer) for flag in varies) else None
    if known is None:
        raise ValueError(f"{where}: found varies={varies}, wanted it known for every mechanism")
    if not np.isin(known, (0, 1)).all():
        raise ValueError(f"{where}: found varies={varies}, wanted booleans")
    return known.astype(bool)
