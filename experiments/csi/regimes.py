"""Four cases of the theorem: what norms of features and rows, given and learned temperatures leave undetermined.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025, theorem, cases C1 to
C4. A fixed norm leaves a rotation, f(g(z)) = O z (C1, C2) or (kappa / beta) O z (C3); none leaves any linear map (C4).

    python -m experiments run csi/regimes --preset medium
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi import simulation, simulation_claims
from experiments.csi.simulation import Config
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

TRACED = simulation.TRACED
build = simulation.build

PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(simulation.PRESETS["smoke"], targets="class"),
    "medium": dataclasses.replace(
        simulation.PRESETS["quick"], targets="class", num_steps=6000, evaluate_every=1000, num_seeds=3
    ),
    "paper": dataclasses.replace(simulation.PRESETS["paper"], targets="class"),
}

CASES: Mapping[str, Mapping[str, Any]] = {
    "C1, beta = kappa": {"unit_features": True, "unit_rows": True},
    "C1, beta learned": {"unit_features": True, "unit_rows": True, "learn_beta": True},
    "C2": {"unit_features": True},
    "C3": {"unit_rows": True},
    "C3, beta 2": {"unit_rows": True, "beta": 2.0},
    "C4": {},
}
"""arm -> what is fixed; beta is 1 unless named"""

_ONE = "1 (theory)"
_ROTATION = "0 (theory; all singular values alike, and as large as predicted)"
# Ours, written down before the first run.
REFERENCES = (
    *(Reference(f"{case}: R2", _ONE, {"medium": (0.97, None)}) for case in CASES),
    *(Reference(f"{case}: head R2", _ONE, {"medium": (0.98, None)}) for case in CASES),
    *(
        Reference(f"{case}: relative singular value error", _ROTATION, {"medium": (None, 0.1)})
        for case, fixed in CASES.items()
        if fixed
    ),
    *(
        Reference(f"{case}: head singular value error", _ROTATION, {"medium": (None, 0.1)})
        for case, fixed in CASES.items()
        if "unit_rows" in fixed
    ),
    Reference("C1, beta learned: beta", "10 = kappa (theory)", {"medium": (9.0, 11.0)}),
)


def arms(config: Config) -> Sequence[Arm]:
    """One arm per case, the first with the given beta of the world's kappa."""
    made = {case: dataclasses.replace(config, **changes) for case, changes in CASES.items()}
    first = "C1, beta = kappa"
    made[first] = dataclasses.replace(made[first], beta=config.kappa)
    return [Arm(case, one) for case, one in made.items()]


def premises(config: Config) -> Mapping[str, Any]:
    """Per arm a function that says which case applies, and what it predicts."""
    return simulation_claims.reports(arms(config))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`."""
    return simulation_claims.recovered(arms(config), results)


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery, and the distance of the map from the predicted rotation."""
    drawn = []
    for title, names in (
        ("linear R2", {"latents": "R2", "rows": "head R2"}),
        ("singular value error", {"latents": "relative singular value error", "rows": "head singular value error"}),
    ):
        series = {
            what: {case: one.final(name) for case, one in results.items() if name in one.evaluation}
            for what, name in names.items()
        }
        series = {what: cases for what, cases in series.items() if cases}
        if series:
            caption = f"{title} in every case: the rows against cluster vectors, the features against latents."
            drawn.append(Figure(caption, figure_png(bars(series, title))))
    return drawn
