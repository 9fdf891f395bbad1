"""What causal models say about data: tests of (conditional) independence, and graphs found from them or without."""

from identax.causal.de_finetti import PairDecision, causal_de_finetti_pair, decide_pair
from identax.causal.de_finetti_graph import causal_de_finetti
from identax.causal.front import independence_test, independence_tests
from identax.causal.g_test import g_test
from identax.causal.graph_rules import GraphDecision, decide_graph
from identax.causal.hsic import hsic_test
from identax.causal.independence import fisher_z_test, partial_correlation
from identax.causal.kci import kci_test
from identax.causal.lingam import LingamDecision, pairwise_lingam
from identax.causal.notears import Notears, notears
from identax.causal.outcomes import IndependenceTest
from identax.causal.rcit import rcit_test

__all__ = [
    "GraphDecision",
    "IndependenceTest",
    "LingamDecision",
    "Notears",
    "PairDecision",
    "causal_de_finetti",
    "causal_de_finetti_pair",
    "decide_graph",
    "decide_pair",
    "fisher_z_test",
    "g_test",
    "hsic_test",
    "independence_test",
    "independence_tests",
    "kci_test",
    "notears",
    "pairwise_lingam",
    "partial_correlation",
    "rcit_test",
]
