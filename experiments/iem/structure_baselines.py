"""What other methods find in the data of causal de Finetti: PC, FCI, GES, CD-NOD, NOTEARS and LiNGAM, read two ways.

The published comparison (Guo et al. 2023; Reizinger et al. 2025) with its settings, in which FCI, GES and NOTEARS are
constants by the way they are read, and with sane ones, on the same data sets and by the same scores: pairs of the
shipped sampler and binary graphs of three variables. Baselines see the samples of all environments together, CD-NOD
with the number of the environment. Methods of causal-learn are left out where it is not installed.

    pip install -e .[structure]
    python -m experiments run iem/structure_baselines --preset quick
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.iem import structure_baselines_claims as claims
from experiments.iem import structure_methods as methods
from experiments.iem import structure_scores
from identax.dgp import binary_graph, shipped_pair
from identax.experiment import RunConfig
from identax.metrics import varsortability
from identax.rng import stream
from identax.study import HostTrial

FLOAT64 = True
TRACED = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Data sets of one kind and number of environments, for one family of methods; seeds are data sets."""

    data: str = claims.PAIRS
    """of one arm: pairs, or graphs of three binary variables"""
    family: str = claims.OWN
    """of one arm: what needs no package, or what causal-learn has"""
    num_environments: int = 100
    """of one arm"""
    pair_environments: tuple[int, ...] = (100, 200, 300, 400, 500)
    graph_environments: tuple[int, ...] = (2000, 4000, 6000, 8000, 10_000)
    """an arm and family each"""
    kernel_cd_nod: bool = True
    """CD-NOD by kernel tests too, for pairs: seconds a data set at E = 500"""
    num_seeds: int = 100


PRESETS: dict[str, Config] = {
    "smoke": Config(pair_environments=(20,), graph_environments=(200,), kernel_cd_nod=False, num_seeds=3),
    "quick": Config(pair_environments=(100, 200), graph_environments=(2000,), kernel_cd_nod=False),
    "medium": Config(),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> HostTrial:
    """One data set and what every method of a family finds in it."""

    def trial(key, hparams):
        observations, truth = (np.asarray(part) for part in draw(key, config.data, config.num_environments))
        if config.family == claims.PACKAGED:
            return _packaged(observations, truth, config)
        return _own(observations, truth)

    return HostTrial(trial)


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw(key: Any, data: str, num_environments: int) -> tuple[Any, Any]:
    """Observations [E, 2, d] as shipped, and the true graph, bool [d, d]."""
    if data == claims.GRAPHS:
        graph = binary_graph(stream(key, "graph"), num_environments, d=3, leak_order=True)
        return graph.observations, graph.adjacency
    pair = shipped_pair(stream(key, "pair"), num_environments, variability="both", parity=True)
    return pair.observations, jnp.array([[False, pair.structure == 0], [pair.structure == 1, False]])


def _own(observations, truth):
    graphs = {f"NOTEARS {name}": graph for name, graph in methods.notears_graphs(_pooled(observations)).items()}
    if len(truth) == 2:
        graphs[claims.DE_FINETTI] = methods.pair_by_de_finetti(observations)
        graphs[claims.LINGAM] = methods.pair_by_lingam(_pooled(observations))
    shares = {(name, readout): graph for name, graph in graphs.items() for readout in structure_scores.READOUTS}
    found = _scores(shares, truth)
    for name, constant in (
        (claims.NOTHING, np.zeros_like(truth)),
        (claims.EVERYTHING, ~np.eye(len(truth), dtype=bool)),
    ):
        found |= {f"{name}: {score}": value for score, value in claims.scores(constant.astype(float), truth).items()}
    rises = float(varsortability(_pooled(observations), truth)) if truth.any() else np.nan
    return found | {"varsortability": rises}


def _packaged(observations, truth, config):
    pooled, labels = _pooled(observations), np.repeat(np.arange(len(observations)), 2)
    found = {}
    for method in claims.packaged(config.data, config.kernel_cd_nod):
        for readout in structure_scores.READOUTS:
            if readout == "sane" and not methods.has_settings(method, pooled):
                found[method, readout] = found[method, "published"]
                continue
            try:
                found[method, readout] = methods.packaged_graph(method, pooled, labels, readout)
            except (ValueError, ArithmeticError):  # a singular correlation matrix, for one: a result and no fault
                found[method, readout] = None
    return _scores(found, truth)


def _scores(found, truth):
    scores = {}
    for (method, readout), graph in found.items():
        shares = None if graph is None else structure_scores.edge_shares(graph, method, readout)
        scores |= {f"{method}, {readout}: {score}": value for score, value in claims.scores(shares, truth).items()}
    return scores


def _pooled(observations):
    return observations.reshape(-1, observations.shape[-1])
