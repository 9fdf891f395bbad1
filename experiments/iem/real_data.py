"""Known causes in the world: which way do methods turn the Tuebingen pairs, and what do they find in Sachs' cells?

Neither set has environments, so causal de Finetti, which needs samples known to share one, has nothing to say of them:
here stand the methods that it is compared with. A pair is scored for both orders of its columns, because the file
always has the cause first; an edge without direction, and none, counts one half. Files of the package cdt are read,
nothing of it is imported; `smoke` draws a miniature, which says nothing about the world.

    pip install --no-deps cdt==0.6.0
    python -m experiments run iem/real_data --preset paper
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.iem import real_data_claims as claims
from experiments.iem import structure_methods as methods
from experiments.iem import structure_scores as scores
from identax.causal import notears, pairwise_lingam
from identax.checks import check_choice
from identax.data import CauseEffectPair, SachsCells, cause_effect_pairs, sachs_cells
from identax.experiment import RunConfig
from identax.metrics import varsortability
from identax.study import HostTrial

FLOAT64 = True
TRACED = ()
MINIATURE = "miniature"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One set and one family of methods; there is one data set, so one trial."""

    folder: str = ""
    """that holds the four files; "": where the package cdt is installed; "miniature": data that are drawn here"""
    data: str = claims.PAIRS
    """of one arm: the pairs, or the cells as they are or their logarithms"""
    family: str = claims.OWN
    """of one arm: what needs no package, or what causal-learn has"""
    num_seeds: int = 1


PRESETS: dict[str, Config] = {"smoke": Config(folder=MINIATURE), "paper": Config()}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> HostTrial:
    """The scores of a family's methods. Raises `ValueError` as the readers of the files."""
    check_choice("iem/real_data", "data", config.data, claims.SETS)
    if config.data == claims.PAIRS:
        pairs = _miniature_pairs() if config.folder == MINIATURE else cause_effect_pairs(config.folder or None)
        return HostTrial(lambda key, hparams: _of_pairs(pairs, config.family))
    cells = _miniature_cells() if config.folder == MINIATURE else sachs_cells(config.folder or None)
    values = np.log(cells.values) if config.data == claims.LOGARITHMS else cells.values
    return HostTrial(lambda key, hparams: _of_cells(values, cells.adjacency, config.family))


# ---- pairs


def _of_pairs(pairs, family):
    """Per pair 1, 0 or, where a coin has to decide, 1/2; and its weight."""
    found = {name: np.array([_score(pair, run) for pair in pairs]) for name, run in PAIR_METHODS[family].items()}
    return found | {claims.WEIGHT: np.array([pair.weight for pair in pairs])}


def _score(pair: CauseEffectPair, run: Callable[[np.ndarray], np.ndarray]) -> float:
    """Mean over both orders of the columns of what is given to the true direction."""
    columns = np.stack([pair.x, pair.y], axis=1)
    as_given, turned = run(columns), run(columns[:, ::-1])
    forward = 0.5 * (_of_first(as_given) + 1 - _of_first(turned))
    return forward if pair.forward else 1 - forward


def _of_first(shares):
    """What the edge from the first variable to the second has; a coin's half without an edge."""
    return shares[0, 1] / shares.sum() if shares.any() else 0.5


def _lingam(columns):
    ratio = float(pairwise_lingam(columns[:, 0], columns[:, 1]).likelihood_ratio)
    return _edge(ratio > 0, ratio < 0)


def _notears(name):
    threshold, scaled = methods.NOTEARS[name]

    def run(columns):
        found = notears(columns, threshold=threshold, standardise=scaled)
        return scores.edge_shares(scores.directed(found.adjacency), "NOTEARS", "sane")

    return run


def _larger_variance(columns):
    first, second = columns.var(axis=0)
    return _edge(first < second, first > second)


def _edge(forth, back):
    return np.array([[0.0, forth], [back, 0.0]])


def _direct_lingam(columns):
    found = methods.packaged_graph("DirectLiNGAM", columns, np.zeros(len(columns)), "sane")
    return scores.edge_shares(found, "DirectLiNGAM", "sane")


PAIR_METHODS: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    claims.OWN: {
        "pairwise LiNGAM": _lingam,
        "NOTEARS 0.3": _notears("0.3"),
        "NOTEARS 0.3, standardised": _notears("0.3, standardised"),
        "larger variance is the effect": _larger_variance,
    },
    claims.PACKAGED: {"DirectLiNGAM": _direct_lingam},
}
"""shares of both directions [2, 2] from two columns [n, 2]; PC, FCI and GES cannot tell them apart"""


# ---- cells


def _of_cells(values, truth, family):
    """Scores of directed edges of every method of a family, read the sane way."""
    if family == claims.OWN:
        found: dict[str, Any] = {f"NOTEARS {name}": graph for name, graph in methods.notears_graphs(values).items()}
        found[claims.NOTHING] = scores.directed(np.zeros_like(truth))
    else:
        nowhere = np.zeros(len(values))
        names = [name for name in methods.PACKAGED if not name.startswith("CD-NOD")]
        found = {name: methods.packaged_graph(name, values, nowhere, "sane") for name in names}
    measured = {}
    for name, graph in found.items():
        shares = scores.edge_shares(graph, name, "sane")
        f1 = 1 - scores.expected_normalised_shd(shares, truth)
        hamming = scores.expected_hamming(shares, truth)
        measured |= {f"{name}: SHD": hamming, f"{name}: F1": f1, f"{name}: edges": float(shares.sum())}
    if family == claims.OWN:
        measured["varsortability"] = float(varsortability(values, truth))
    return measured


# ---- the miniature


def _miniature_pairs() -> tuple[CauseEffectPair, ...]:
    draws = np.random.default_rng(0).laplace(size=(6, 2, 300))
    return tuple(
        CauseEffectPair(f"pair{number}", *((x, x + y) if number % 2 else (x + y, x)), bool(number % 2), 1.0)
        for number, (x, y) in enumerate(draws)
    )


def _miniature_cells() -> SachsCells:
    noise = np.random.default_rng(1).laplace(size=(500, 4))
    values = noise.copy()
    for cause, effect in ((0, 1), (1, 2), (0, 3)):
        values[:, effect] += values[:, cause]
    adjacency = np.zeros((4, 4), bool)
    adjacency[[0, 1, 0], [1, 2, 3]] = True
    return SachsCells(np.exp(0.2 * values), ("a", "b", "c", "d"), adjacency)
