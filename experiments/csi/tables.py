"""Instance and class labels over numbers of labels, dims, clusters, kappa and laws: Tables 2, 3 and 5.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025: linear recovery of
latents and cluster vectors by DIET with free rows ("DIET") and with rows of norm 1 ("unit DIET"), Tables 2 and 5, and
by class labels ("supervised"), Table 3. All heads meet the same worlds, so their differences are paired by seed.

    python -m experiments run csi/tables --preset medium --arm "supervised, kappa 50"
"""

import dataclasses

from experiments.csi import simulation
from experiments.csi import tables_claims as claims
from experiments.csi import tables_figures as drawing

TRACED = simulation.TRACED
build = simulation.build


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(simulation.Config):
    """The default setting, and which rows run under which head."""

    supervised: tuple[str, ...] = claims.TABLE3
    diet: tuple[str, ...] = claims.TABLE2
    unit_diet: tuple[str, ...] = claims.TABLE2
    num_labels_steps: int = 4_850_000
    """steps of the row with 100,000 labels"""
    wide_hidden: tuple[int, ...] = (10, 50, 50, 50, 50, 10)
    """widths in multiples of dim, of rows with more dims than the default"""
    wide_seeds: int = 5
    """seeds of rows with 20 dims or more"""


PRESETS: dict[str, Config] = {
    "smoke": simulation.preset(
        Config,
        "smoke",
        supervised=("default", "kappa 50"),
        diet=("default",),
        unit_diet=("default",),
        wide_hidden=(4, 4),
    ),
    "medium": simulation.preset(
        Config,
        "quick",
        supervised=("default", "C 10", "C 1000", "kappa 5", "kappa 50", "Laplace", "Normal"),
        diet=("default", "C 10", "kappa 50", "Laplace", "Laplace vectors", "Normal vectors"),
        unit_diet=("default",),
        num_steps=3000,
        num_supervised_steps=3000,
        evaluate_every=1000,
        num_evaluate=8192,
        num_seeds=3,
        wide_hidden=(5, 10, 10, 5),
    ),
    "paper": simulation.preset(Config, "paper"),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures
