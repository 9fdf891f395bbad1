"""Baselines of iem: what is read out of a graph, how coins are scored, constant answers, a missing package."""

import importlib.util
import itertools

import jax
import numpy as np
import pytest

from experiments.iem import structure_baselines, structure_baselines_claims, structure_methods, structure_scores
from identax.conduct import Options, run_experiment
from identax.metrics import normalised_shd, structural_hamming_distance
from identax.run import make_mesh

CLAIMS = structure_baselines_claims
needs_package = pytest.mark.skipif(not structure_methods.installed(), reason="needs causal-learn")
quiet = pytest.mark.filterwarnings("default")  # of the optional package


def graph(directed=(), undirected=(), bidirected=(), d=3):
    made = structure_scores.FoundGraph(*np.zeros((3, d, d), bool))
    for matrix, edges in zip(made, (directed, undirected, bidirected), strict=True):
        for i, j in edges:
            matrix[i, j] = True
            matrix[j, i] |= matrix is not made.directed
    return made


def edges_of(shares):
    return {(int(i), int(j)): float(shares[i, j]) for i, j in np.argwhere(shares)}


@pytest.mark.parametrize(
    ("method", "readout", "wanted"),
    [
        ("FCI", "published", {(0, 1): 1}),
        ("GES", "published", {(0, 1): 1}),
        ("PC", "published", {(0, 1): 1, (3, 2): 1, (0, 2): 1, (2, 0): 1}),
        ("CD-NOD, KCI", "published", {(0, 1): 1, (3, 2): 1}),
        ("PC", "sane", {(0, 1): 1, (3, 2): 1, (0, 2): 0.5, (2, 0): 0.5}),
        ("FCI", "sane", {(0, 1): 1, (3, 2): 1, (0, 2): 0.5, (2, 0): 0.5}),
    ],
)
def test_readouts_of_one_graph(method, readout, wanted):
    found = graph([(0, 1), (3, 2)], [(0, 2)], [(1, 3)], d=4)
    assert edges_of(structure_scores.edge_shares(found, method, readout)) == wanted


def test_two_variables_that_point_at_each_other_are_none_as_published_and_a_coin_otherwise():
    both = structure_scores.directed([[0, 1], [1, 0]])
    assert not structure_scores.edge_shares(both, "NOTEARS 0", "published").any()
    assert edges_of(structure_scores.edge_shares(both, "NOTEARS 0", "sane")) == {(0, 1): 0.5, (1, 0): 0.5}
    three = structure_scores.directed(~np.eye(3, dtype=bool))
    assert structure_scores.edge_shares(three, "NOTEARS 0", "published").sum() == 6
    with pytest.raises(ValueError, match="did you mean 'sane'"):
        structure_scores.edge_shares(both, "PC", "same")


def test_expected_scores_are_the_means_over_all_turns_of_the_coins():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = np.triu(rng.integers(0, 2, size=(4, 4)), 1).astype(bool)
        kinds = rng.integers(0, 4, size=(4, 4))
        pairs = list(itertools.combinations(range(4), 2))
        found = graph([p for p in pairs if kinds[p] == 1], [p for p in pairs if kinds[p] == 2], d=4)
        shares = structure_scores.edge_shares(found, "PC", "sane")
        coins = [p for p in pairs if kinds[p] == 2]
        dice, hamming, match = [], [], []
        for turns in itertools.product((0, 1), repeat=len(coins)):
            turned = found.directed.copy()
            for (i, j), back in zip(coins, turns, strict=True):
                turned[(j, i) if back else (i, j)] = True
            one, other = ({(i, j) for i, j in np.argwhere(g).tolist()} for g in (turned, truth))
            dice.append(len(one ^ other) / max(len(one) + len(other), 1))
            hamming.append(len({frozenset(edge) for edge in one ^ other}))
            match.append(one == other)
        np.testing.assert_allclose(structure_scores.expected_normalised_shd(shares, truth), np.mean(dice))
        np.testing.assert_allclose(structure_scores.expected_hamming(shares, truth), np.mean(hamming))
        np.testing.assert_allclose(structure_scores.expected_match(shares, truth), np.mean(match))


def test_without_coins_scores_are_the_metrics_of_graphs():
    """All pairs of graphs of three variables, with cycles and two-way edges; of no edge at all both are 0."""
    places = np.argwhere(~np.eye(3, dtype=bool))
    every = np.zeros((64, 3, 3), bool)
    every[:, places[:, 0], places[:, 1]] = np.arange(64)[:, None] >> np.arange(6) & 1
    found, true = np.repeat(every, 64, axis=0), np.tile(every, (64, 1, 1))
    for ours, metric in (
        (structure_scores.expected_normalised_shd, normalised_shd),
        (structure_scores.expected_hamming, structural_hamming_distance),
    ):
        expected = [ours(one.astype(float), other) for one, other in zip(found, true, strict=True)]
        np.testing.assert_allclose(metric(found, true), expected, rtol=1e-6)
        assert len(set(np.round(expected, 6))) > 3


def test_marks_of_the_package_are_translated():
    marks = np.zeros((5, 5), int)  # entry (i, j): the mark at i; 1 arrow, -1 tail, 2 circle
    for (i, j), (at_i, at_j) in {
        (0, 1): (-1, 1),
        (1, 2): (2, 1),
        (2, 3): (-1, -1),
        (0, 3): (1, 1),
        (0, 4): (2, 2),
    }.items():
        marks[i, j], marks[j, i] = at_i, at_j
    found = structure_methods._of_marks(marks)
    wanted = graph([(0, 1), (1, 2)], [(2, 3), (0, 4)], [(0, 3)], d=5)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def pairs():
    """Pooled samples and true graphs of 16 data sets."""
    drawn = [structure_baselines.draw(jax.random.key(seed), CLAIMS.PAIRS, 200) for seed in range(16)]
    return [(np.asarray(x).reshape(-1, 2), np.asarray(truth)) for x, truth in drawn]


def test_thresholds_decide_what_notears_finds(pairs):
    right = {name: [] for name in structure_methods.NOTEARS}
    for pooled, truth in pairs:
        for name, found in structure_methods.notears_graphs(pooled).items():
            shares = structure_scores.edge_shares(found, "NOTEARS", "published")
            right[name].append(structure_scores.expected_match(shares, truth))
    nothing = np.mean([not truth.any() for _, truth in pairs])
    assert 0.1 < nothing < 0.6 and np.mean(right["0"]) == nothing
    assert min(np.mean(right["0.1"]), np.mean(right["0.3"])) > 0.9


def test_without_the_package_its_methods_are_left_out_and_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "causallearn" else real(name, *a))
    config = structure_baselines.PRESETS["quick"]
    names = [arm.name for arm in structure_baselines.arms(config)]
    assert names == ["pairs, E = 100, own", "pairs, E = 200, own", "graphs, E = 2000, own"]
    text = structure_baselines.premises(config)[names[0]].as_text()
    assert "not installed" in text and "pip install -e .[structure]" in text and "CD-NOD" in text
    with pytest.raises(ValueError, match=r"found no package causal-learn.*pip install -e \.\[structure\]"):
        structure_methods.packaged_graph("PC", np.zeros((9, 2)), np.zeros(9), "sane")


@pytest.mark.slow
@quiet
def test_smoke_runs_to_a_report_and_judged_rows_are_measured(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(structure_baselines, "iem/structure_baselines", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    cells = {name.split(": ", 1)[1] for name in outcome.measured}
    packaged = tuple(structure_methods.PACKAGED)
    for row in structure_baselines.REFERENCES:
        name = row.quantity.split(": ", 1)[1]
        if structure_methods.installed() or not name.startswith(packaged):
            assert name in cells or "KCI" in name, row.quantity
    np.testing.assert_array_equal(
        outcome.measured["graphs, E = 200: NOTEARS 0, published: SHD above every edge, both ways"], 0
    )


@needs_package
@quiet
@pytest.mark.slow
def test_the_package_finds_a_collider_and_leaves_a_pair_open():
    rng = np.random.default_rng(0)
    x, y = rng.laplace(size=(2, 2000))
    collider = np.stack([x, x + y + 0.5 * rng.laplace(size=2000), y], axis=1)
    nowhere = np.zeros(2000)
    for method in ("PC", "FCI", "GES", "DirectLiNGAM"):
        found = structure_methods.packaged_graph(method, collider, nowhere, "published")
        assert edges_of(found.directed.astype(float)) == {(0, 1): 1, (2, 1): 1}, method
    for method in ("PC", "FCI", "GES"):
        found = structure_methods.packaged_graph(method, collider[:, :2], nowhere, "published")
        assert not found.directed.any() and found.undirected.sum() == 2, method


@needs_package
@quiet
@pytest.mark.slow
def test_a_cause_that_changes_with_the_domain_is_directed_by_cd_nod():
    rng = np.random.default_rng(5)  # of one in twenty draws a test errs, and no direction follows
    labels = np.repeat(np.arange(40), 10)
    x = 0.1 * labels + rng.normal(size=400)
    columns = np.stack([x, 2 * x + rng.normal(size=400)], axis=1)
    found = structure_methods.packaged_graph("CD-NOD, Fisher z", columns, labels, "published")
    assert edges_of(found.directed.astype(float)) == {(0, 1): 1}
