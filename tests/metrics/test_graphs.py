"""Distances of graphs against sets of edges, for graphs of three variables."""

import itertools

import jax
import numpy as np
import pytest
from scipy.spatial.distance import dice

from identax.metrics import normalised_shd, structural_hamming_distance

OFF = ~np.eye(3, dtype=bool)


def _all():
    for entries in itertools.product((False, True), repeat=6):
        graph = np.zeros((3, 3), bool)
        graph[OFF] = entries
        yield graph


def test_pairs_of_all_graphs_of_three_variables():
    graphs = np.array(list(_all()))
    pairs = np.broadcast_arrays(graphs[:, None], graphs[None])
    one, other = (each.reshape(-1, 3, 3)[::5] for each in pairs)  # 5 and 64: every graph on either side
    shares, counts = jax.jit(normalised_shd)(one, other), structural_hamming_distance(one.astype(int), other)
    for a, b, share, count in zip(one, other, np.asarray(shares), np.asarray(counts), strict=True):
        same = not a.any() and not b.any()
        wanted = 0.0 if same else dice(a[OFF], b[OFF])
        np.testing.assert_allclose(share, wanted, atol=1e-6)
        assert count == sum(
            (a[i, j], a[j, i]) != (b[i, j], b[j, i]) for i, j in itertools.combinations(range(3), 2)
        )  # fmt: skip


def test_an_edge_the_wrong_way_round():
    edge = np.array([[0, 1], [0, 0]])
    assert normalised_shd(edge, edge.T) == 1 and structural_hamming_distance(edge, edge.T) == 1
    assert normalised_shd(edge, edge) == 0 == normalised_shd(0 * edge, 0 * edge)


@pytest.mark.parametrize("measure", [normalised_shd, structural_hamming_distance])
@pytest.mark.parametrize(
    "graphs, wanted",
    [
        ((np.zeros((2, 2)), np.zeros((3, 3))), r"\(2, 2\) and \(3, 3\)"),
        ((np.zeros(4), np.zeros(4)), r"\[..., d, d\]"),
        ((np.full((2, 2), 0.5), np.zeros((2, 2))), "estimated with entries other than 0 and 1"),
        ((np.zeros((2, 2)), np.full((2, 2), np.nan)), "true with entries other than 0 and 1"),
        ((np.eye(2), np.zeros((2, 2))), "from a variable to itself"),
    ],
)
def test_bad_input(measure, graphs, wanted):
    with pytest.raises(ValueError, match=f"{measure.__name__}: .*{wanted}"):
        measure(*graphs)
