"""What the unrolled graph predicts of every binary pair is what exact tables say and what G-tests find."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from identax.assumptions import bivariate_tests
from identax.assumptions.exchangeable_structure import PAIR_TESTS
from identax.causal import causal_de_finetti_pair
from identax.dgp import binary_pair

E, SETS, LEVEL = 4000, 60, 0.05
VARYING, FIXED = np.array([[0.6, 0.15], [0.15, 0.1]]), np.outer([0.75, 0.25], [0.75, 0.25])
"""P(n, n') of two samples of Bern(theta), theta ~ Beta(1, 3) or 1/4"""
GRAPHS = ([[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 0]])
CELLS = [
    (structure, varies) for structure in range(3) for varies in itertools.product((True, False), repeat=2)
]  # varies: the cause's, the mechanism's


def _joint(structure, varies):
    """P(x1, y1, x2, y2), every case of the four noises."""
    laws = [VARYING if flag else FIXED for flag in varies]
    table = np.zeros((2,) * 4)
    for c1, c2, n1, n2 in itertools.product((0, 1), repeat=4):
        samples = [(c, n if structure == 2 else c ^ n) for c, n in ((c1, n1), (c2, n2))]
        (x1, y1), (x2, y2) = [pair[::-1] if structure == 1 else pair for pair in samples]
        table[x1, y1, x2, y2] += laws[0][c1, c2] * laws[1][n1, n2]
    return table


def _information(table, x, y, given):
    """I(x; y | given) in nats, axes by number."""

    def entropy(axes):
        p = table.sum(axis=tuple(set(range(4)) - set(axes))).reshape(-1)
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    return entropy((x, *given)) + entropy((y, *given)) - entropy((x, y, *given)) - entropy(given)


def test_every_cell_of_the_bivariate_table_is_what_is_measured():
    structures = jnp.array([structure for structure, _ in CELLS])
    flags = jnp.array([varies for _, varies in CELLS])

    def tests(key, structure, varies):
        drawn = binary_pair(key, E, variability=varies, structure=structure)
        return causal_de_finetti_pair(drawn.observations, method="g", levels=2).p_values

    keys = jax.random.split(jax.random.key(0), SETS)
    over_sets = jax.vmap(tests, (0, None, None))
    p = np.asarray(jax.jit(lambda *cells: jax.lax.map(lambda cell: over_sets(keys, *cell), cells))(structures, flags))
    outcomes = []
    for (structure, varies), of_cell in zip(CELLS, p, strict=True):
        by_variable = varies[::-1] if structure == 1 else varies
        oracle = bivariate_tests(GRAPHS[structure], by_variable)
        axes = ((0, 3, (2,)), (1, 2, (3,)), (0, 1, ()))
        for name, holds, test, values in zip(
            PAIR_TESTS, (oracle.first, oracle.second, oracle.third), axes, of_cell.T, strict=True
        ):
            information = _information(_joint(structure, varies), *test)
            assert (abs(information) < 1e-12) == holds, (structure, varies, name)
            degrees = 2 if test[2] else 1
            cut = stats.chi2.ppf(1 - LEVEL, degrees)
            share = LEVEL if holds else stats.ncx2.sf(cut, degrees, 2 * E * information)
            rejected = (values <= LEVEL).sum()
            low, high = stats.binom.interval(0.9999, SETS, share)
            assert low <= rejected <= high, (structure, varies, name, rejected, share)
            outcomes.append((holds, rejected / SETS))
    assert len(outcomes) == 36 and min(rate for holds, rate in outcomes if not holds) > 0.8
