"""Graphs of several variables: perfect tests find every one, and loops over sets of variables find the same."""

import itertools

import jax
import numpy as np
import pytest
from scipy.stats import chi2

from identax.assumptions import identified_edges, separation_tables
from identax.causal import causal_de_finetti, decide_graph, independence_test

LEVEL = 0.05


def _graphs(d, rng=None):
    """Every graph whose labels are a topological order, relabelled at random."""
    above = np.triu_indices(d, 1)
    for edges in itertools.product((False, True), repeat=len(above[0])):
        graph = np.zeros((d, d), bool)
        graph[above] = edges
        labels = np.arange(d) if rng is None else rng.permutation(d)
        yield graph[labels][:, labels]


def _answers(cases):
    """Decisions from the separations of graphs and flags, as p-values 1 and 0."""
    across, within = zip(*(separation_tables(*case) for case in cases), strict=True)
    return decide_graph(np.array(across), np.array(within))


@pytest.mark.parametrize("d", [2, 3, 4])
def test_perfect_tests_find_every_graph(d):
    graphs = list(_graphs(d, np.random.default_rng(0)))
    found = _answers([(graph, (True,) * d) for graph in graphs])
    np.testing.assert_array_equal(found.adjacency, graphs)
    assert np.all(found.settled) and np.min(found.levels) == 1 and np.max(found.levels) == d


@pytest.mark.slow
def test_perfect_tests_find_graphs_of_five():
    rng = np.random.default_rng(1)
    graphs = [graph for graph in _graphs(5, rng) if rng.uniform() < 0.1]
    found = _answers([(graph, (True,) * 5) for graph in graphs])
    np.testing.assert_array_equal(found.adjacency, graphs)
    assert len(graphs) > 60


@pytest.mark.parametrize("d", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_an_edge_with_a_varying_end_is_found_and_others_need_luck(d):
    cases = list(itertools.product(_graphs(d), itertools.product((False, True), repeat=d)))
    found = np.asarray(_answers(cases).adjacency)
    right, missed = [], 0
    for (graph, flags), edges in zip(cases, found, strict=True):
        flags = np.array(flags)
        varying_end = graph & (flags[:, None] | flags[None, :])
        assert not (varying_end & ~edges).any()
        if (varying_end == graph).all():
            np.testing.assert_array_equal(edges, graph)
        if not flags.any():
            assert not edges.any()  # i.i.d. data: everyone is a sink
        right.append((edges == graph).all())
        missed += (identified_edges(graph, flags) & ~edges).sum()
    # More is identified than the procedure finds (v-structures, Meek's rules), and it may be right by luck.
    assert missed > 0 and 0.5 < np.mean(right) < 0.9


def _by_loops(p_value, d, level, stuck):
    """The rule with sets of variables: edges, levels (0: none) and every question with its answer."""
    left, levels, sinks, edges, asked = set(range(d)), dict.fromkeys(range(d), 0), {}, {}, {}
    settled = True
    for n in range(1, d + 1):
        least = {}
        for v in left:
            for k in left - {v}:
                sinks[v, k] = asked["across", v, k, frozenset(left - {v})] = p_value(v, k, left - {v}, True)
            least[v] = min((sinks[v, k] for k in left - {v}), default=1.0)
        joins = {v for v in left if least[v] >= level}
        settled &= bool(joins) or not left
        if not joins and left and stuck == "likeliest":
            joins = {max(sorted(left), key=lambda v: least[v])}
        levels |= dict.fromkeys(joins, n)
        left -= joins
    graph: set[tuple[int, int]] = set()
    for gap in range(1, d):
        new = set()
        for j, k in itertools.permutations(range(d), 2):
            if not (levels[k] and levels[j] - levels[k] == gap):
                continue
            given = {m for m in range(d) if levels[m] > levels[j]}
            given |= {m for m, child in graph if child == k and levels[m] < levels[j]}
            children = {child for parent, child in graph if parent == j}
            given |= {m for m, child in graph if child in children and levels[m] == levels[j]} - {j}
            edges[j, k] = asked["within", j, k, frozenset(given)] = p_value(j, k, given, False)
            if edges[j, k] <= level:
                new.add((j, k))
        graph |= new
    return graph, [levels[v] for v in range(d)], settled, sinks, edges, asked


def _assert_same(found, wanted, rtol):
    graph, levels, settled, sinks, edges, _ = wanted
    assert set(map(tuple, np.argwhere(found.adjacency).tolist())) == graph
    assert np.asarray(found.levels).tolist() == levels and bool(found.settled) == settled
    for values, known in ((found.sink_p_values, sinks), (found.edge_p_values, edges)):
        assert set(map(tuple, np.argwhere(np.isfinite(values)).tolist())) == set(known)
        for pair, p in known.items():
            np.testing.assert_allclose(values[pair], p, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("stuck", ["stop", "likeliest"])
def test_decisions_are_those_of_loops(stuck):
    rng, d, num = np.random.default_rng(2), 4, 64
    across, within = rng.uniform(size=(2, num, d, d, 2**d)) ** rng.choice([1.0, 12.0], size=(2, num, d, d, 2**d))
    found = decide_graph(across, within, level=LEVEL, stuck=stuck)
    stuck_sets, given = 0, set()
    for i in range(num):
        tables = {True: across[i], False: within[i]}

        def p_value(j, k, given, is_across, tables=tables):
            return tables[is_across][j, k, sum(2**m for m in given)]

        wanted = _by_loops(p_value, d, LEVEL, stuck)
        _assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], found), wanted, 1e-5)
        stuck_sets += not wanted[2]
        given |= {(kind, len(of)) for kind, _, _, of in wanted[5]}
    assert 0 < stuck_sets < num and {("within", 0), ("within", 1), ("within", 2), ("across", 3)} <= given
    if stuck == "likeliest":
        assert np.min(found.levels) == 1
        both = jax.vmap(lambda flag: decide_graph(across, within, level=LEVEL, stuck=flag))(np.array([False, True]))
        for leaf, (_, placed) in zip(found, both, strict=True):
            np.testing.assert_array_equal(placed, leaf)
        assert (~both.settled).any() and (np.min(both.levels[0], axis=1) > 0).tolist() == both.settled[0].tolist()


def _g(x, y, z, counts):
    """G-test of columns by counting, stratum by stratum."""
    statistic = 0.0
    for stratum in set(map(tuple, z.tolist())):
        rows = (z == np.array(stratum)).all(axis=1)
        table = np.histogram2d(x[rows], y[rows], bins=[np.arange(n + 1) for n in counts[:2]])[0]
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
        some = table > 0
        statistic += 2 * (table[some] * np.log(table[some] / expected[some])).sum()
    return chi2.sf(statistic, (counts[0] - 1) * (counts[1] - 1) * int(np.prod(counts[2:])))


LEVELS = (2, 3, 2)


def _categories(num, environments):
    """0 -> 1 -> 2 and 0 -> 2 in most data sets, by shifts of categories that are drawn anew in every environment."""
    rng = np.random.default_rng(3)
    found = np.zeros((num, environments, 2, 3), int)
    for v, (levels, strengths) in enumerate(zip(LEVELS, ([], [1], [1, 1]), strict=True)):
        shares = rng.dirichlet(np.array([1.5, 0.4, 0.4])[:levels], size=(num, environments, 1))
        own = (rng.uniform(size=(num, environments, 2, 1)) > shares.cumsum(axis=-1)).sum(axis=-1)
        parents = sum((strength * found[..., u] for u, strength in enumerate(strengths)), np.zeros_like(own))
        found[..., v] = (own + parents) % levels
    return found


@pytest.fixture(scope="module")
def categories():
    data = _categories(6, 800)
    return data, causal_de_finetti(data, method="g", levels=LEVELS)


def test_g_tests_are_those_of_counting(categories):
    data, found = categories
    edges = 0
    for i, (first, second) in enumerate(data.transpose(0, 2, 1, 3)):

        def p_value(j, k, given, is_across, first=first, second=second):
            rest, counts = sorted(given), [LEVELS[m] for m in (j, k, *sorted(given))]
            return _g(first[:, j], (second if is_across else first)[:, k], first[:, rest], counts)

        wanted = _by_loops(p_value, 3, LEVEL, "stop")
        _assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], found), wanted, 2e-3)
        edges += len(wanted[0])
    assert edges > 6


def test_one_data_set_is_one_of_many_at_a_time(categories):
    data, found = categories
    numbered = causal_de_finetti(data[2], method="g", chunk_size=1)
    for one, of_many in zip(numbered, found, strict=True):
        np.testing.assert_allclose(one, of_many[2], rtol=1e-5)


def test_labels_do_not_matter(categories):
    data, found = categories
    labels = np.array([2, 0, 1])
    renamed = causal_de_finetti(data[..., labels], method="g", levels=[LEVELS[v] for v in labels])
    np.testing.assert_array_equal(renamed.adjacency, np.asarray(found.adjacency)[:, labels][:, :, labels])


def test_constant_variables_are_alone(categories):
    data = categories[0].copy()
    data[..., 1] = 0
    found = causal_de_finetti(data, method="g", levels=LEVELS)
    assert not np.any(np.asarray(found.adjacency)[:, 1]) and not np.any(np.asarray(found.adjacency)[:, :, 1])
    assert np.all(found.levels[:, 1] == 1) and np.any(found.adjacency)


def _continuous(environments):
    rng = np.random.default_rng(4)
    # Equal scales would be the linear model that is unfaithful to second order.
    places = np.array([6.0, 1.0, 4.0])[:, None, None] * rng.uniform(-1, 1, size=(3, environments, 1))
    x, y, z = rng.normal(size=(3, environments, 2)) + places
    y = y + x
    return np.stack([z + y, x, y], axis=-1)


@pytest.mark.parametrize("method", ["fisher_z", pytest.param("kci", marks=pytest.mark.slow)])
def test_other_tests_are_given_the_same_sets(method, x64):
    data = _continuous(60)
    first, second = data[:, 0], data[:, 1]

    def p_value(j, k, given, is_across):
        z = first[:, sorted(given)] if given else None
        return float(independence_test(first[:, j], (second if is_across else first)[:, k], z, method=method).p_value)

    wanted = _by_loops(p_value, 3, LEVEL, "likeliest")
    _assert_same(causal_de_finetti(data, method=method, stuck="likeliest"), wanted, 1e-6)
    assert wanted[0]


GOOD = np.zeros((40, 2, 3), int)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: causal_de_finetti(GOOD[..., :1]), r"found observations of shape \(40, 2, 1\).*d >= 2"),
        (lambda: causal_de_finetti(GOOD[:, :1]), r"\(40, 1, 3\).*N >= 2"),
        (lambda: causal_de_finetti(GOOD[:, 0]), r"\(40, 3\)"),
        (lambda: causal_de_finetti(GOOD + 0.5, method="g"), "observations with values that are not whole numbers"),
        (lambda: causal_de_finetti(GOOD + 2, method="g", levels=2), "wanted codes 0 .. levels - 1"),
        (lambda: causal_de_finetti(GOOD, method="g", levels=(2, 2)), "one count >= 1 each"),
        (lambda: causal_de_finetti(GOOD, method="g", levels=300), "cells, wanted at most"),
        (lambda: causal_de_finetti(GOOD, method="g", levels=2.9), "found levels=2.9"),
        (lambda: causal_de_finetti(GOOD, method="g", degrees="some"), "degrees"),
        (lambda: causal_de_finetti(GOOD, method="g", bandwidth=1.0), "'bandwidth'"),
        (lambda: causal_de_finetti(np.full((40, 2, 3), np.nan)), "240 non-finite entries in observations"),
        (lambda: causal_de_finetti(GOOD, method="hsic"), "method='hsic'"),
        (lambda: causal_de_finetti(GOOD, stuck="never"), "stuck='never'"),
        (lambda: causal_de_finetti(GOOD, level=1.5), "level=1.5"),
        (lambda: causal_de_finetti(GOOD, chunk_size=0), "chunk_size=0"),
        (lambda: causal_de_finetti(GOOD[:4], method="fisher_z"), "n >= 4|at least 4 samples more"),
        (lambda: causal_de_finetti(GOOD[:5], method="kci"), "n >= 6"),
        (lambda: decide_graph(np.ones((3, 3, 4)), np.ones((3, 3, 4))), r"\[..., d, d, 2\^d\]"),
        (lambda: decide_graph(np.ones((2, 2, 4)), np.ones((3, 2, 2, 4))), r"\(3, 2, 2, 4\)"),
        (lambda: decide_graph(np.ones((2, 2, 4)), np.ones((2, 2, 4)), level=-1), "level=-1"),
        (lambda: decide_graph(np.ones((2, 2, 4)), np.ones((2, 2, 4)), stuck="go"), "stuck='go'"),
        (lambda: decide_graph(np.ones((2, 2, 4)), np.ones((2, 2, 4)), stuck=1), "stuck=1, wanted one of .* a boolean"),
        (lambda: causal_de_finetti(GOOD, stuck=None), "stuck=None, wanted one of .* a boolean"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
