"""d-separation, the bivariate table of exchangeable mechanisms, and the edges that variability orients."""

import itertools

import jax
import numpy as np
import pytest

from identax.assumptions import (
    bivariate_tests,
    cross_sample_separations,
    d_separated,
    identified_edges,
    structure_report,
    unrolled_graph,
)

X_TO_Y, Y_TO_X, EMPTY = (np.array(edges, bool) for edges in ([[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 0]]))
PRIORS = list(itertools.product((True, False), repeat=2))


def _random_dag(rng, size):
    labels = rng.permutation(size)
    return np.triu(rng.uniform(size=(size, size)) < 0.5, 1)[labels][:, labels]


def _paths(graph, start, end):
    """All paths without repeated nodes, whatever the directions."""
    near = graph | graph.T
    waiting = [(start,)]
    while waiting:
        path = waiting.pop()
        for node in np.flatnonzero(near[path[-1]]).tolist():
            if node == end:
                yield (*path, node)
            elif node not in path:
                waiting.append((*path, node))


def _blocked(graph, path, given):
    reach = np.linalg.matrix_power(np.eye(len(graph), dtype=int) + graph, len(graph)) > 0
    for before, node, after in zip(path, path[1:], path[2:], strict=False):
        if graph[before, node] and graph[after, node]:
            if not any(reach[node, g] for g in given):
                return True
        elif node in given:
            return True
    return False


def test_d_separation_is_that_of_all_paths():
    rng, answers = np.random.default_rng(0), []
    for _ in range(120):
        graph = _random_dag(rng, 6)
        x, y, *rest = rng.permutation(6).tolist()
        given = {node for node in rest if rng.uniform() < 0.4}
        wanted = all(_blocked(graph, path, given) for path in _paths(graph, x, y))
        assert d_separated(graph, {x}, {y}, given) == d_separated(graph, {y}, {x}, given) == wanted
        answers.append(wanted)
    assert 20 < sum(answers) < 100


def test_separation_of_sets_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    for _ in range(40):
        graph = _random_dag(rng, 6)
        a, b, c, d, e, _ = rng.permutation(6).tolist()
        each = all(d_separated(graph, {x}, {y}, {e}) for x in (a, b) for y in (c, d))
        assert d_separated(graph, (a, b), [c, d], {e}) == each
    assert d_separated(graph, (), {1})


def test_the_unrolled_graph():
    found = unrolled_graph(X_TO_Y, (True, False), 3)
    edges = {(0, 1), (2, 3), (4, 5), (6, 0), (6, 2), (6, 4)}
    assert set(map(tuple, np.argwhere(found).tolist())) == edges and found.shape == (8, 8)


@pytest.mark.parametrize("theta, psi", PRIORS)
def test_every_row_of_the_bivariate_table(theta, psi):
    tests = bivariate_tests(X_TO_Y, (theta, psi))
    wanted = (True, not (theta or psi), False)
    assert (tests.first, tests.second, tests.third) == wanted
    assert tests.decision == (0 if theta or psi else None)
    # the mirror image: by variable, so that Y's prior is the cause's
    mirrored = bivariate_tests(Y_TO_X, (psi, theta))
    assert (mirrored.second, mirrored.first, mirrored.third) == wanted
    assert mirrored.decision == (1 if theta or psi else None)
    empty = bivariate_tests(EMPTY, (theta, psi))
    assert empty.first and empty.second and empty.third and empty.decision == 2


def _dags(size):
    pairs = list(itertools.combinations(range(size), 2))
    for kinds in itertools.product((0, 1, 2), repeat=len(pairs)):
        graph = np.zeros((size, size), bool)
        for (i, j), kind in zip(pairs, kinds, strict=True):
            graph[(i, j) if kind == 1 else (j, i)] = kind > 0
        if not np.linalg.matrix_power(graph.astype(int), size).any():
            yield graph


def _separations(graph, flags):
    """All statements about observed nodes of two samples: one node, one node, any condition."""
    unrolled, size = unrolled_graph(graph, flags), 2 * len(graph)
    found = []
    for x, y in itertools.combinations(range(size), 2):
        rest = [node for node in range(size) if node not in (x, y)]
        for num in range(len(rest) + 1):
            found += [d_separated(unrolled, {x}, {y}, given) for given in itertools.combinations(rest, num)]
    return tuple(found)


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_identified_edges_are_common_to_all_models_of_the_same_separations(size):
    classes = {}
    for graph in _dags(size):
        for flags in itertools.product((False, True), repeat=size):
            classes.setdefault(_separations(graph, flags), []).append((graph, flags))
    for members in classes.values():
        assert len({flags for _, flags in members}) == 1  # which mechanisms vary is identified
        common = np.all([graph for graph, _ in members], axis=0)
        for graph, flags in members:
            np.testing.assert_array_equal(identified_edges(graph, flags), common)
    assert len(classes) < len(list(_dags(size))) * 2**size


def _members(graph, flags):
    """Orientations of the skeleton with the same v-structures, the same edges at varying variables, and no cycle."""

    def signature(other):
        skeleton = other | other.T
        colliders = {
            (a, c, b)
            for c in range(len(other))
            for a, b in itertools.combinations(np.flatnonzero(other[:, c]).tolist(), 2)
            if not skeleton[a, b]
        }
        fixed = (flags[:, None] | flags[None, :]) & other
        return colliders, tuple(map(tuple, np.argwhere(fixed)))

    edges = np.argwhere(graph)
    for turned in itertools.product((False, True), repeat=len(edges)):
        other = np.zeros_like(graph)
        for (i, j), turn in zip(edges, turned, strict=True):
            other[(j, i) if turn else (i, j)] = True
        if not np.linalg.matrix_power(other.astype(int), len(other)).any() and signature(other) == signature(graph):
            yield other


def test_meek_closure_is_what_all_orientations_share():
    rng, open_edges = np.random.default_rng(2), 0
    for _ in range(40):
        graph, flags = _random_dag(rng, 5), rng.uniform(size=5) < 0.15
        common = np.all(list(_members(graph, flags)), axis=0)
        np.testing.assert_array_equal(identified_edges(graph, flags), common)
        open_edges += (graph & ~common).sum()
    assert open_edges > 10


def test_one_varying_end_orients_an_edge_and_meek_does_the_rest():
    chain = np.diag(np.ones(3, bool), 1)
    assert not identified_edges(chain, [False] * 4).any()
    np.testing.assert_array_equal(identified_edges(chain, [False, True, False, False]), chain)
    np.testing.assert_array_equal(identified_edges(chain, [True] * 4), chain)
    last = identified_edges(chain, [False, False, False, True])
    np.testing.assert_array_equal(np.argwhere(last), [[2, 3]])
    collider = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    np.testing.assert_array_equal(identified_edges(collider, [False] * 3), collider)


def test_sinks_are_the_rows_without_dependence():
    rng = np.random.default_rng(3)
    for _ in range(20):
        graph = _random_dag(rng, 4)
        found = cross_sample_separations(graph, [True] * 4) | np.eye(4, dtype=bool)
        np.testing.assert_array_equal(found.all(axis=1), ~graph.any(axis=1))
        # i.i.d.: two samples know nothing of each other
        assert cross_sample_separations(graph, [False] * 4).all()


def test_the_report_of_two_variables():
    for flags, decision in (((True, False), "X->Y"), ((False, True), "X->Y"), ((False, False), "coin flip")):
        report = structure_report(X_TO_Y, flags, num_environments=100)
        assert report.prediction("decision").value == decision
        assert report.covered == any(flags) == report.premise("cause or mechanism variability of every edge").holds
        assert report.prediction("direction accuracy").value == (1.0 if any(flags) else 0.5)
        assert report.prediction("test X1 _||_ Y2 | X2").value == "holds"
    assert structure_report(EMPTY, (False, False)).prediction("decision").value == "none"
    assert "the cause of 1" in report.as_text() or "neither of 1" in report.as_text()


def test_single_samples_are_iid():
    report = structure_report(X_TO_Y, (True, True), num_samples=1)
    assert not report.premise("two samples or more per environment").holds
    assert report.prediction("decision").value == "coin flip"
    assert report.prediction("edges identified").value == 0
    assert not structure_report(X_TO_Y, (True, True), num_environments=1).covered


def test_the_report_of_more_variables():
    chain = np.diag(np.ones(2, bool), 1)
    report = structure_report(chain, (False, False, True))
    assert report.prediction("edges identified").value == 1 and report.prediction("edges left open").why == "0 -> 1"
    assert report.prediction("graph").value == "up to the open edges"
    assert structure_report(chain, (True, True, True)).prediction("graph").value == "identified"


BAD = {
    "found a cycle among the variables": lambda: structure_report(X_TO_Y | Y_TO_X, (True, True)),
    "a cycle among the variables \\[0, 1": lambda: d_separated(X_TO_Y | Y_TO_X, {0}, {1}),
    "wanted disjoint sets": lambda: d_separated(X_TO_Y, {0}, {0}),
    "numbers from 0 to 1": lambda: d_separated(X_TO_Y, {0}, {2}),
    "wanted it known for every mechanism": lambda: identified_edges(X_TO_Y, (None, True)),
    r"found varies of shape \(3,\)": lambda: unrolled_graph(X_TO_Y, (True, True, True)),
    r"wanted \[2, 2\]": lambda: bivariate_tests(np.zeros((3, 3)), (True, True, True)),
    "varies=\\(nan, True\\), wanted booleans": lambda: identified_edges(X_TO_Y, (np.nan, True)),
    "that is traced, wanted it known": lambda: jax.jit(lambda graph: identified_edges(graph, (True, True)).sum())(
        X_TO_Y
    ),
    "lists of unequal lengths": lambda: structure_report([[0, 1], [0]], (True, True)),
    "wanted 0 and 1 in": lambda: identified_edges(np.full((2, 2), 0.5), (True, True)),
    "num_samples=0, wanted at least 1": lambda: structure_report(X_TO_Y, (True, True), num_samples=0),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
