"""Varsortability against paths counted one by one."""

import itertools

import numpy as np
import pytest

from identax.metrics import varsortability


def columns(variances, seed=0):
    """Columns with exactly these variances."""
    draws = np.random.default_rng(seed).normal(size=(40, len(variances)))
    return (draws - draws.mean(axis=0)) / draws.std(axis=0) * np.sqrt(variances)


def counted(adjacency, variances):
    """Every walk of every length below d, its ends counted once for each length."""
    d, good, total = len(variances), 0.0, 0
    for length in range(2, d + 1):
        walks = itertools.product(range(d), repeat=length)
        ends = {(w[0], w[-1]) for w in walks if all(adjacency[a, b] for a, b in itertools.pairwise(w))}
        total += len(ends)
        good += sum(1 if variances[a] < variances[b] else 0.5 if variances[a] == variances[b] else 0 for a, b in ends)
    return good / total


@pytest.mark.parametrize(
    ("variances", "wanted"), [((1, 3, 2), 2 / 3), ((1, 2, 3), 1), ((3, 2, 1), 0), ((2, 2, 2), 0.5)]
)
def test_a_chain(variances, wanted):
    chain = np.eye(3, k=1)
    np.testing.assert_allclose(varsortability(columns(variances), chain), wanted, atol=1e-6)
    np.testing.assert_allclose(counted(chain, variances), wanted)


def test_random_graphs_have_the_share_of_their_paths():
    rng = np.random.default_rng(3)
    for _ in range(5):
        adjacency = np.triu(rng.integers(0, 2, size=(4, 4)), 1)
        adjacency[0, 1] = 1
        variances = rng.permutation([1.0, 2.0, 2.0, 4.0])
        found = varsortability(columns(variances) + 5, adjacency)
        np.testing.assert_allclose(found, counted(adjacency, variances), atol=1e-6)


def test_without_an_edge_or_with_samples_that_are_no_numbers_there_is_no_number():
    assert np.isnan(varsortability([[1.0, 2.0], [np.nan, 3.0]], [[0, 1], [0, 0]]))
    assert np.isnan(varsortability(columns((1, 2)), np.zeros((2, 2))))


@pytest.mark.parametrize(
    ("x", "adjacency", "match"),
    [
        (np.ones(3), np.eye(3), r"found x of shape \(3,\)"),
        (np.ones((1, 3)), np.eye(3), "N >= 2"),
        (np.ones((4, 3)), np.eye(2), "found adjacency of shape"),
        (np.ones((4, 2)), [[0, np.nan], [0, 0]], "1 non-finite entries in adjacency"),
        (np.ones((4, 2)), [["a", "b"], ["c", "d"]], "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused(x, adjacency, match):
    with pytest.raises(ValueError, match=match):
        varsortability(x, adjacency)
