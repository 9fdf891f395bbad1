"""In a box InfoNCE with an Lp loss finds every single latent; unbounded with p=2 it finds them up to a rotation.

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021, Table 2: MCC of uniform
latents in a box under matched and mismatched conditionals, model spaces and losses.

    python -m experiments run contrastive_ica/table2 --preset quick
"""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.contrastive_ica import cells, matrix
from experiments.contrastive_ica.matrix import Config
from experiments.contrastive_ica.presets import SHARED
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

PRESETS: dict[str, Config] = {
    "smoke": SHARED["smoke"],
    "quick": SHARED["quick"],
    "medium": SHARED["medium"],
    "paper": SHARED["paper"],
}
TRACED = matrix.TRACED
build = matrix.build

ROWS = {
    "Laplace, box L1": ("Laplace", "box L1"),
    "GenNorm3, box L3": ("GenNorm3", "box L3"),
    "Normal, box L2": ("Normal", "box L2"),
    "Laplace, box L2": ("Laplace", "box L2"),
    "GenNorm3, box L1": ("GenNorm3", "box L1"),
    "Laplace, unbounded L1": ("Laplace", "unbounded L1"),
    "GenNorm3, unbounded L3": ("GenNorm3", "unbounded L3"),
    "Normal, unbounded L2": ("Normal", "unbounded L2"),
    "Laplace, unbounded L2": ("Laplace", "unbounded L2"),
    "Normal, unbounded L3": ("Normal", "unbounded L3"),
    "supervised": ("Laplace", "supervised box"),
}
"""arm -> (conditional, model), see `cells`; the paper's rows in its order, then its baseline"""

_IDENTIFIED = "near 1 (theory, paper's pattern)"
_ROTATED = "that of a random rotation (theory)"
_PAPER = {
    "Laplace, box L1": ("0.9862 ± 0.0005", _IDENTIFIED),
    "GenNorm3, box L3": ("0.9990 ± 0.0006", _IDENTIFIED),
    "Normal, box L2": ("0.9977 ± 0.0001", _IDENTIFIED),
    "Laplace, box L2": ("0.9976 ± 0.0002", _IDENTIFIED),
    "GenNorm3, box L1": ("0.9880 ± 0.0002", _IDENTIFIED),
    "Laplace, unbounded L1": ("0.9857 ± 0.0002", _IDENTIFIED),
    "GenNorm3, unbounded L3": ("0.9985 ± 0.0001", _IDENTIFIED),
    "Normal, unbounded L2": ("0.5826 ± 0.0300", _ROTATED),
    "Laplace, unbounded L2": ("0.5967 ± 0.0233", _ROTATED),
    "Normal, unbounded L3": ("0.4380 ± 0.0215", "not identified (paper's pattern)"),
    "supervised": ("0.9993 ± 0.0003", _IDENTIFIED),
}
"""MCC, recollected: shown, never a band; and what is expected whatever the digits"""


def _references() -> list[Reference]:
    made = []
    for row, (mcc, wanted) in _PAPER.items():
        band = (0.95, None) if wanted is _IDENTIFIED else (None, 0.8)
        made.append(Reference(f"{row}: MCC", wanted, {"quick": band}, f"Paper: {mcc}, n=10, recollected."))
        if wanted is _ROTATED:
            made.append(Reference(f"{row}: R2", "near 1 (theory, paper's pattern)", {"quick": (0.98, None)}))
    identity = "0.4655 ± 0.0134 (recollected, n=10)"
    return [*made, Reference("Laplace, box L1: identity MCC", identity, recollected=True)]


REFERENCES = tuple(_references())


def arms(config: Config) -> Sequence[Arm]:
    """One arm per row of the table, then the supervised baseline; "identity" is measured in each."""
    return [Arm(name, cells.cell(config, "box", *row)) for name, row in ROWS.items()]


def premises(config: Config) -> Mapping[str, Report]:
    """Which theorem applies to each arm, and what it predicts."""
    return cells.premises(arms(config))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`."""
    return cells.measure(arms(config), results)


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """MCC and R2 of every cell."""
    own = arms(config)
    return [*cells.figures(own, results, "MCC"), *cells.figures(own, results, "R2")]
