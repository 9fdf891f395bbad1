"""Graphs that methods find, brought to one form, and scores that count an edge without direction as a fair coin's."""

from typing import Any, NamedTuple

import numpy as np

from identax.checks import check_choice

READOUTS = ("published", "sane")


class FoundGraph(NamedTuple):
    """Three matrices [d, d] of booleans. `directed`: (i, j) of an arrowhead at j alone, i -> j or i o-> j;
    `undirected`, symmetric: an edge without arrowheads; `bidirected`, symmetric: arrowheads at both ends."""

    directed: np.ndarray
    undirected: np.ndarray
    bidirected: np.ndarray


def directed(adjacency: Any) -> FoundGraph:
    """The result of a method whose edges all have a direction."""
    found = np.asarray(adjacency, bool)
    return FoundGraph(found, np.zeros_like(found), np.zeros_like(found))


def edge_shares(found: FoundGraph, method: str, readout: str) -> np.ndarray:
    """What is scored: [d, d] of 0, 1, and 1/2 for either direction of an edge that a fair coin has to turn.

    "published", as the study's code reads each method: of FCI and GES only arrows i -> j with i < j, so that what
    points back or has no direction is no edge; of PC an undirected edge is both directions; of CD-NOD arrows alone; of
    NOTEARS and LiNGAM every weight, but of two variables that point at each other none. "sane": arrows whichever way
    they point, half an edge each way where the method leaves the direction open, none where both ends have arrowheads
    (a common cause), and of two arrows against each other, which no acyclic graph has, half each.
    """
    check_choice("edge_shares", "readout", readout, READOUTS)
    arrows = found.directed.astype(float)
    both = found.directed & found.directed.T
    if readout == "sane":
        return np.where(both | found.undirected, 0.5, arrows)
    if method in ("FCI", "GES"):
        return np.triu(arrows)
    if method == "PC":
        return np.maximum(arrows, found.undirected)
    if len(arrows) == 2 and both.any():
        return np.zeros_like(arrows)
    return arrows


def expected_normalised_shd(shares: np.ndarray, truth: np.ndarray) -> float:
    """Mean over coins of (|E - T| + |T - E|) / (|E| + |T|), for edges E found and T true; 0 of two empty graphs.

    One less the F1 of edges: 1 means no edge in common, and a reversed edge costs two.
    """
    truth = np.asarray(truth, float)
    size = shares.sum() + truth.sum()
    return float(np.abs(shares - truth).sum() / size) if size else 0.0


def expected_hamming(shares: np.ndarray, truth: np.ndarray) -> float:
    """Mean over coins of the structural Hamming distance: pairs of variables whose edge is missing, wrong or turned."""
    return float(np.sum(1 - _matches(shares, truth)))


def expected_match(shares: np.ndarray, truth: np.ndarray) -> float:
    """Probability over coins that the graph is the true one."""
    return float(np.prod(_matches(shares, truth)))


def _matches(shares, truth):
    """For every pair i < j the probability that what was found between both is what is there."""
    truth = np.asarray(truth, bool)
    upper = np.triu_indices(len(truth), 1)
    forth, back, true_forth, true_back = shares[upper], shares.T[upper], truth[upper], truth.T[upper]
    coin = (forth == 0.5) & (back == 0.5)
    return np.where(coin, 0.5 * (true_forth ^ true_back), (forth == true_forth) & (back == true_back))
