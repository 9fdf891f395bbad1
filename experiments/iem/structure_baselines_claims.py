"""What `iem/structure_baselines` compares: scores of every method and readout, and which of them are constants."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iem import structure_methods as methods
from experiments.iem import structure_scores
from experiments.iem.bands import mean_band, share_band
from experiments.iem.bivariate_known import ENVIRONMENTS, PUBLISHED
from experiments.iem.checks import check_cells
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

PAIRS, GRAPHS = "pairs", "graphs"
OWN, PACKAGED = "own", "causal-learn"
DE_FINETTI, LINGAM = "causal de Finetti", "pairwise LiNGAM"
NOTHING, EVERYTHING = "no edge", "every edge, both ways"
DE_FINETTI_PAIRS, LINGAM_PAIRS = (dict(zip(ENVIRONMENTS, known, strict=True)) for known in PUBLISHED["both"])
CD_NOD = {100: 0.38, 200: 0.40, 300: 0.38, 400: 0.43, 500: 0.45}
"""accuracy of pairs as stored by the authors, 100 data sets a cell"""
SHD = {
    2000: {"PC": (0.270, 0.131), "FCI": (0.82, 0.39), "GES": (0.86, 0.35), "NOTEARS 0": (0.450, 0.077)},
    4000: {"PC": (0.267, 0.134), "FCI": (0.81, 0.39), "GES": (0.87, 0.34), "NOTEARS 0": (0.447, 0.078)},
    6000: {"PC": (0.250, 0.151), "FCI": (0.75, 0.44), "GES": (0.81, 0.39), "NOTEARS 0": (0.467, 0.067)},
    8000: {"PC": (0.247, 0.147), "FCI": (0.77, 0.42), "GES": (0.80, 0.40), "NOTEARS 0": (0.450, 0.077)},
    10_000: {"PC": (0.262, 0.141), "FCI": (0.78, 0.42), "GES": (0.81, 0.39), "NOTEARS 0": (0.460, 0.072)},
}
"""normalised SHD of binary graphs, mean and sd of 100 data sets"""
THRESHOLDS = {"0": 0.36, "0.1": 0.99, "0.3": 0.98, "0.3, standardised": 0.36}
"""accuracy of NOTEARS on pairs, E = 200, by threshold: an independent run, 100 data sets"""
_NUM, _JUDGED = 100, ("quick", "medium", "paper")


def arms(config: Any) -> Sequence[Arm]:
    """Both families of methods, of which causal-learn's where it is installed, for every kind and number."""
    check_cells("iem/structure_baselines", config, "pair_environments", "graph_environments")
    made = []
    for data, numbers in ((PAIRS, config.pair_environments), (GRAPHS, config.graph_environments)):
        for num in numbers:
            for family in (OWN, PACKAGED) if methods.installed() else (OWN,):
                one = dataclasses.replace(config, data=data, num_environments=num, family=family)
                made.append(Arm(f"{_cell(data, num)}, {family}", one))
    return made


def packaged(data: str, kernel_cd_nod: bool) -> list[str]:
    """The methods of causal-learn that are run on such data."""
    left_out = () if data == PAIRS and kernel_cd_nod else ("CD-NOD, KCI",)
    return [name for name in methods.PACKAGED if name not in left_out]


def scores(shares: np.ndarray | None, truth: np.ndarray) -> dict[str, float]:
    """Of pairs accuracy, and direction where an edge is truly there and found; of graphs normalised SHD, and how many
    edges were found. NaN where there is no graph, or no direction to score."""
    if len(truth) != 2:
        if shares is None:
            return {"SHD": np.nan, "edges": np.nan}
        return {"SHD": structure_scores.expected_normalised_shd(shares, truth), "edges": float(shares.sum())}
    if shares is None:
        return {"accuracy": np.nan, "direction": np.nan}
    scored = truth.any() and shares.any()
    direction = float(shares[truth].sum() / shares.sum()) if scored else np.nan
    return {"accuracy": structure_scores.expected_match(shares, truth), "direction": direction}


def _cell(data: str, num: Any) -> str:
    return f"{data}, E = {num}"


def _share(value: float, of: float = _NUM) -> dict[str, tuple[float, float]]:
    """Two standard errors of the difference of two shares, one of 100."""
    return dict.fromkeys(_JUDGED, share_band(value, of, _NUM, 2))


def _constant(quantity: str, why: str) -> Reference:
    return Reference(quantity, "0 (theory)", dict.fromkeys(_JUDGED, (0.0, 0.0)), why)


def _references() -> list[Reference]:
    made = []
    for num in LINGAM_PAIRS:
        cell = _cell(PAIRS, num)
        made.append(Reference(f"{cell}: {NOTHING}: accuracy", "1/3 (theory)", _share(1 / 3, math.inf)))
        for method in ("FCI", "GES", "NOTEARS 0"):
            made.append(_constant(f"{cell}: {method}, published: accuracy above {NOTHING}", "Always no edge."))
        for method, known in ((DE_FINETTI, DE_FINETTI_PAIRS), (LINGAM, LINGAM_PAIRS), ("DirectLiNGAM", LINGAM_PAIRS)):
            name = f"{cell}: {method}, published: accuracy"
            made.append(Reference(name, f"{known[num]:.2f} (authors' file)", _share(known[num])))
        name, note = f"{cell}: CD-NOD, KCI, published: accuracy", "The authors' is another program (Matlab)."
        made.append(Reference(name, f"{CD_NOD[num]:.2f} (authors' file)", {}, note))
    for threshold, known in THRESHOLDS.items():
        name = f"{_cell(PAIRS, 200)}: NOTEARS {threshold}, published: accuracy"
        made.append(Reference(name, f"{known:.2f} (independent run)", _share(known)))
    for num, row in SHD.items():
        cell = _cell(GRAPHS, num)
        made.append(_constant(f"{cell}: NOTEARS 0, published: SHD above {EVERYTHING}", "Always all six arrows."))
        for method, known in row.items():
            text = f"{known[0]:.3f} +- {known[1]:.3f} (authors' file)"
            bands = dict.fromkeys(_JUDGED, mean_band(*known, _NUM, _NUM, 2))
            made.append(Reference(f"{cell}: {method}, published: SHD", text, bands))
    return made


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Report]:
    """Whether causal-learn is there, and what may be expected of samples that are thrown together."""
    there = methods.installed()
    why = f"left out without it: {', '.join(methods.PACKAGED)}; {methods.INSTALL}"
    package = Premise(
        "package causal-learn", True if there else None, "installed" if there else "not installed", why
    )  # fmt: skip
    predicted = [
        Prediction(
            "pairs: direction by PC, FCI, GES", "a coin", "two variables with an edge are one equivalence class"
        ),
        Prediction(
            "pairs: NOTEARS with a threshold",
            "right where variances grow along the edge",
            "least squares: see varsortability",
        ),
    ]
    return {arm.name: Report([package], predicted) for arm in arms(config)[:1]}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every score per data set, finite ones where a score is not always there, and what is above a constant answer."""
    found: dict[str, np.ndarray] = {}
    for cell, metrics in _cells(config, results):
        for name, values in metrics.items():
            kept = values[np.isfinite(values)] if name.endswith((": direction", "varsortability")) else values
            if kept.size:
                found[f"{cell}: {name}"] = kept
    for name in list(found):
        cell, score = name.split(": ")[0], name.split(": ")[-1]
        for constant, of in ((NOTHING, "accuracy"), (EVERYTHING, "SHD")):
            level = found.get(f"{cell}: {constant}: {score}")
            if name.endswith(f", published: {of}") and level is not None:
                found[f"{name} above {constant}"] = found[name] - level
    return found


def _cells(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for at, metrics in points(arms(config), results):
        yield _cell(at["data"], at["num_environments"]), metrics


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Accuracy of pairs and normalised SHD of graphs over the number of environments, a picture for each readout."""
    drawn = []
    for data, score, caption in (
        (PAIRS, "accuracy", "Share of pairs whose structure is right, of three; no edge is right in a third"),
        (GRAPHS, "SHD", "Normalised SHD of binary graphs of three variables: 0 is right, 1 is no edge in common"),
    ):
        for readout in structure_scores.READOUTS:
            series: dict[str, dict[float, np.ndarray]] = {}
            for at, metrics in points(arms(config), results):
                for name, values in metrics.items():
                    if at["data"] == data and name.endswith(f", {readout}: {score}"):
                        mean = np.array([values[np.isfinite(values)].mean() if np.isfinite(values).any() else np.nan])
                        method = name.removesuffix(f", {readout}: {score}")
                        series.setdefault(method, {})[float(at["num_environments"])] = mean
            if series:
                picture = over_parameter(series, "environments", score, ylim=(-0.02, 1.02))
                drawn.append(Figure(f"{caption}; {readout} readout.", figure_png(picture)))
    return drawn
