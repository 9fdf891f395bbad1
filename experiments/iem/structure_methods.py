"""Methods that look for a graph, our own and those of causal-learn, with one result."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.iem.structure_scores import FoundGraph, directed
from identax.causal import causal_de_finetti_pair, notears, pairwise_lingam
from identax.checks import check_choice

PACKAGE = "causallearn"
INSTALL = "pip install -e .[structure]"
_ARROW = 1
NOTEARS = {"0": (0.0, False), "0.1": (0.1, False), "0.3": (0.3, False), "0.3, standardised": (0.3, True)}
"""threshold, and whether columns are standardised"""


def installed() -> bool:
    """Whether causal-learn can be imported."""
    return importlib.util.find_spec(PACKAGE) is not None


# ---- methods of our own


def notears_graphs(pooled: np.ndarray) -> dict[str, FoundGraph]:
    """NOTEARS for every entry of `NOTEARS`, by its name; two fits."""
    fits = {scaled: notears(pooled, threshold=0.0, standardise=scaled).weights for scaled in (False, True)}
    return {name: directed(np.abs(fits[scaled]) > threshold) for name, (threshold, scaled) in NOTEARS.items()}


def pair_by_de_finetti(observations: np.ndarray) -> FoundGraph:
    """Causal de Finetti for two variables (KCI, level .05): the one method here that uses that environments differ."""
    return _of_pair(causal_de_finetti_pair(observations, method="kci").structure)


def pair_by_lingam(pooled: np.ndarray) -> FoundGraph:
    """DirectLiNGAM for two variables in closed form, with its pruning."""
    return _of_pair(pairwise_lingam(pooled[:, 0], pooled[:, 1]).structure)


def _of_pair(structure):
    return directed(np.array([[0, structure == 0], [structure == 1, 0]]))


# ---- methods of causal-learn, on samples of all environments together


def pc(pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """PC at level .01: the binary G-test for integers as published, Fisher's z for floats."""
    from causallearn.search.ConstraintBased.PC import pc as run  # pyright: ignore[reportMissingImports]

    return _of_marks(run(pooled, alpha=0.01, indep_test=_test(pooled), show_progress=False).G.graph)


def fci(pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """FCI at level .05: Fisher's z as published, "sane" the G-test for integers."""
    from causallearn.search.ConstraintBased.FCI import fci as run  # pyright: ignore[reportMissingImports]

    test = "fisherz" if readout == "published" else _test(pooled)
    return _of_marks(run(pooled, test, alpha=0.05, show_progress=False)[0].graph)


def ges(pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """GES: the Gaussian BIC as published, "sane" BDeu for integers."""
    from causallearn.search.ScoreBased.GES import ges as run  # pyright: ignore[reportMissingImports]

    categories = readout == "sane" and _test(pooled) == "gsq"
    return _of_marks(run(pooled, "local_score_BDeu" if categories else "local_score_BIC")["G"].graph)


def cd_nod(pooled: np.ndarray, labels: np.ndarray, readout: str, test: str = "fisherz") -> FoundGraph:
    """CD-NOD (phases 1 and 2, which are those that the package has) at level .05, the number of the environment being
    the variable that others may depend on."""
    from causallearn.search.ConstraintBased.CDNOD import cdnod as run  # pyright: ignore[reportMissingImports]

    d = pooled.shape[1]
    graph = run(pooled.astype(float), labels[:, None].astype(float), alpha=0.05, indep_test=test).G.graph
    return _of_marks(graph[:d, :d])


def cd_nod_kci(pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """`cd_nod` by kernel tests, as published; n^3."""
    return cd_nod(pooled, labels, readout, test="kci")


def direct_lingam(pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """DirectLiNGAM with the pairwise likelihood measure; weights pruned by the adaptive lasso (BIC)."""
    from causallearn.search.FCMBased.lingam import DirectLiNGAM  # pyright: ignore[reportMissingImports]

    model = DirectLiNGAM()
    model.fit(pooled.astype(float))
    return directed(np.abs(model.adjacency_matrix_.T) > 0)


PACKAGED: dict[str, Callable[[np.ndarray, np.ndarray, str], FoundGraph]] = {
    "PC": pc,
    "FCI": fci,
    "GES": ges,
    "CD-NOD, Fisher z": cd_nod,
    "CD-NOD, KCI": cd_nod_kci,
    "DirectLiNGAM": direct_lingam,
}
"""name -> the graph from pooled samples [n, d], labels of their environments [n] and a readout"""


def has_settings(method: str, pooled: np.ndarray) -> bool:
    """Whether a method is run otherwise for the "sane" readout of such samples."""
    return method in ("FCI", "GES") and _test(pooled) == "gsq"


def packaged_graph(method: str, pooled: np.ndarray, labels: np.ndarray, readout: str) -> FoundGraph:
    """One of `PACKAGED`, without what it prints and warns of. Raises `ValueError` where causal-learn is missing."""
    check_choice("packaged_graph", "method", method, tuple(PACKAGED))
    if not installed():
        raise ValueError(f"packaged_graph: found no package causal-learn, which {method} is of, wanted it: {INSTALL}")
    with _quiet():
        return PACKAGED[method](pooled, labels, readout)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), np.errstate(all="ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


def _test(pooled: np.ndarray) -> str:
    return "gsq" if np.issubdtype(pooled.dtype, np.integer) else "fisherz"


def _of_marks(graph: Any) -> FoundGraph:
    """From the package's matrix, whose entry (i, j) is the mark at i of the edge between i and j."""
    marks = np.asarray(graph)
    joined = (marks != 0) & (marks.T != 0)
    head_at_end, head_at_start = marks.T == _ARROW, marks == _ARROW
    return FoundGraph(
        joined & head_at_end & ~head_at_start,
        joined & ~head_at_end & ~head_at_start,
        joined & head_at_end & head_at_start,
    )
