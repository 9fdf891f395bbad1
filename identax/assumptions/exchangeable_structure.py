"""Which independences an exchangeable causal model has, and which edges they identify."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from identax.assumptions.d_separation import d_separated, known_flags, unrolled_graph
from identax.dgp.exchangeable import topological_order

PAIR_TESTS = ("X1 _||_ Y2 | X2", "Y1 _||_ X2 | Y2", "X1 _||_ Y1")
"""the three tests of two variables, in the order of `BivariateTests`; indices are samples of one environment"""


@dataclasses.dataclass(frozen=True)
class BivariateTests:
    """Whether the independences hold that decide between X -> Y, Y -> X and no edge.

    `first`: X1 _||_ Y2 | X2; `second`: Y1 _||_ X2 | Y2; `third`: X1 _||_ Y1. Indices are samples of one environment.
    `decision`: a number of `dgp.STRUCTURES`, None where the pattern leaves it open (a coin flip: i.i.d. data).
    """

    first: bool
    second: bool
    third: bool

    @property
    def decision(self) -> int | None:
        pattern = self.first, self.second, self.third
        return {(True, False, False): 0, (False, True, False): 1, (True, True, True): 2}.get(pattern)


def bivariate_tests(adjacency: Any, varies: Any) -> BivariateTests:
    """d-separations of X = 0 and Y = 1 in two samples: X1, Y1, X2, Y2 = 0, 1, 2, 3 of `unrolled_graph`.

    `adjacency` [2, 2], `varies` [2] by variable: (theta, psi) for X -> Y, (psi, theta) for Y -> X.
    Raises `ValueError` for other shapes and cyclic graphs. Source: Guo et al. 2023; Reizinger et al. 2025.
    """
    if np.shape(adjacency) != (2, 2):
        raise ValueError(f"bivariate_tests: found adjacency of shape {np.shape(adjacency)}, wanted [2, 2]")
    graph = unrolled_graph(adjacency, varies)
    return BivariateTests(
        d_separated(graph, {0}, {3}, {2}), d_separated(graph, {1}, {2}, {3}), d_separated(graph, {0}, {1})
    )


def cross_sample_separations(adjacency: Any, varies: Any) -> np.ndarray:
    """Entry (v, k): v of sample 1 is d-separated from k of sample 2 given all other variables of sample 1, bool [d, d].

    The tests that find sinks first in multivariate causal de Finetti: with all mechanisms varying, row v holds off its
    diagonal if and only if v has no child. The diagonal compares v with itself: it holds where v's mechanism does not
    vary and nothing given opens a path. Raises `ValueError` for cyclic graphs and other than d flags that are known.
    Source: Guo et al. 2023.
    """
    graph, d = unrolled_graph(adjacency, varies), len(varies)
    rows = [[d_separated(graph, {v}, {d + k}, set(range(d)) - {v}) for k in range(d)] for v in range(d)]
    return np.array(rows, bool)


def separation_tables(adjacency: Any, varies: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which independences hold that `causal.decide_graph` may ask for: `across` and `within`, bool [d, d, 2^d] each.

    across (v, k, c): v of sample 1 is d-separated from k of sample 2 given those m of sample 1 whose bit m is set in c;
    within (j, k, c): j from k in sample 1. As p-values they are those of infinitely many environments of faithful data.
    False where nothing is asked: across unless c has k and not v, within where c has j or k. Cost d^2 2^d / 2 searches.
    Raises `ValueError` for cyclic graphs and other than d flags that are known.
    """
    graph, d = unrolled_graph(adjacency, varies), len(varies)
    across, within = np.zeros((2, d, d, 2**d), bool)
    for code in range(2**d):
        given = {m for m in range(d) if code >> m & 1}
        for one, other in itertools.permutations(range(d), 2):
            if one not in given and other in given:
                across[one, other, code] = d_separated(graph, {one}, {d + other}, given)
            if one < other and not given & {one, other}:
                within[[one, other], [other, one], code] = d_separated(graph, {one}, {other}, given)
    return across, within


def identified_edges(adjacency: Any, varies: Any) -> np.ndarray:
    """Edges whose direction two samples per environment determine, bool [d, d]; a subset of the adjacency.

    Faithful data from the model with parameters integrated out have the d-separations of a maximal ancestral graph: the
    graph twice and j_1 <-> j_2 where j's mechanism varies. Its Markov equivalence class fixes the skeleton, the
    v-structures, which mechanisms vary, and every edge at such a variable j, since j_1 is a collider of i_1 and j_2 if
    and only if i -> j, and i_1, j_2 are not adjacent. The rest follows by Meek's rules. So one varying end is enough,
    cause or effect, for any number of variables; without any this is the essential graph of i.i.d. data.
    Raises `ValueError` for cyclic graphs and other than d flags that are known.
    Source: two variables, Reizinger et al. 2025; more, derived here.
    """
    topological_order(adjacency)
    graph = np.asarray(adjacency, bool)
    flags = known_flags("identified_edges", varies, len(graph))
    skeleton = graph | graph.T
    found = graph & (flags[:, None] | flags[None, :])
    for child in range(len(graph)):
        for one, other in itertools.combinations(np.flatnonzero(graph[:, child]), 2):
            if not skeleton[one, other]:
                found[[one, other], child] = True
    return _meek(skeleton, found)


def _meek(skeleton, directed):
    """The closure under Meek's rules 1 to 3; where all edges at some variables are known, the fourth adds nothing."""
    directed = directed.copy()
    changed = True
    while changed:
        changed = False
        for a, b in zip(*np.nonzero(skeleton & ~directed & ~directed.T), strict=True):
            if not directed[b, a] and _forced(skeleton, directed, a, b):
                directed[a, b] = changed = True
    return directed


def _forced(skeleton, directed, a, b):
    """Whether a - b must be a -> b: else a cycle or a new v-structure would follow."""
    open_at_a = skeleton[a] & ~directed[a] & ~directed[:, a]
    into_b = directed[:, b]
    if (directed[:, a] & ~skeleton[b]).any() or (directed[a] & into_b).any():
        return True
    middles = np.flatnonzero(open_at_a & into_b)
    return any(not skeleton[c, e] for c, e in itertools.combinations(middles, 2))
