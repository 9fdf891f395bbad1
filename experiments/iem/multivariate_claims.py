"""What `iem/multivariate` compares: distances from the true graph, by the number of environments and by predictor."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iem.bands import mean_band
from experiments.iem.checks import check_cells
from identax.assumptions import Prediction, Report, separation_tables, structure_report
from identax.causal import decide_graph
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

KNOWN = {2000: (0.314, 0.368), 4000: (0.211, 0.312), 6000: (0.183, 0.345), 8000: (0.191, 0.365), 10000: (0.091, 0.267)}
"""published normalised SHD of causal de Finetti: mean and sd of 100 data sets, from the authors' stored results"""
GRAPHS = ({(0, 2), (1, 2)}, {(0, 1), (1, 2)}, {(0, 1), (0, 2)}, {(0, 1), (0, 2), (1, 2)})
"""equally likely: the directed acyclic graphs of three variables in this order that leave none alone"""
COMPLETE = GRAPHS[-1]
PREDICTORS = {
    "complete": "always {01, 02, 12}",
    "guess": "one of the graphs at random",
    "both ways": "every edge both ways",
    "empty": "never an edge",
}
ORDERS = {"known": "as shipped", "random": "labels at random"}
RULES = ("stop", "likeliest")
"""what happens where no variable passes as a sink; the first is published"""
_NUM = 100
_SEEDS = {"quick": 400, "medium": 1000}


def arm_name(num: int) -> str:
    """How the arm of a number of environments is called."""
    return f"E = {num}"


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each number of environments, on the same seeds and graphs."""
    check_cells("iem/multivariate", config, "environments")
    return [Arm(arm_name(num), dataclasses.replace(config, num_environments=num)) for num in config.environments]


def _distance(found: set, true: set) -> float:
    return len(found ^ true) / (len(found) + len(true))


def _renamed(graph: set, labels: Sequence[int]) -> set:
    return {(labels[i], labels[j]) for i, j in graph}


def exact_moments(predictor: str, order: str) -> tuple[float, float]:
    """Mean and sd of the distance of a trivial predictor, by all graphs, labels and guesses."""
    labels = [(0, 1, 2)] if order == "known" else list(itertools.permutations(range(3)))
    truths = [_renamed(graph, names) for graph in GRAPHS for names in labels]
    predicted = {
        "complete": [COMPLETE],
        "both ways": [COMPLETE | _renamed(COMPLETE, (2, 1, 0))],
        "empty": [set()],
        "guess": truths,
    }[predictor]
    values = [_distance(one, true) for one in predicted for true in truths]
    return float(np.mean(values)), float(np.std(values))


def _shd(num: int, stuck: str = "stop") -> str:
    return f"{arm_name(num)}: normalised SHD" + ", likeliest sink where stuck" * (stuck == "likeliest")


def _predictor(name: str, order: str) -> str:
    return f"{PREDICTORS[name]}, {ORDERS[order]}: normalised SHD"


def _known_row(num: int) -> Reference:
    """Two standard errors of the difference of two means, ours of as many data sets as the preset has."""
    mean, sd = KNOWN[num]
    bands = {preset: mean_band(mean, sd, _NUM, seeds, 2) for preset, seeds in _SEEDS.items()}
    return Reference(_shd(num), f"{mean:.3f} +- {sd:.3f} (n = {_NUM})", bands)


def _predictor_row(name: str, order: str) -> Reference:
    """Three standard errors of the mean around the exact one, and rounding where the distance is the same always."""
    mean, sd = exact_moments(name, order)
    widths = {preset: 3 * sd / math.sqrt(seeds) + 1e-5 for preset, seeds in _SEEDS.items()}
    return Reference(
        _predictor(name, order),
        f"{mean:.4f} (exact)",
        {preset: (mean - width, mean + width) for preset, width in widths.items()},
    )


REFERENCES = (
    *(_known_row(num) for num in KNOWN),
    *(_predictor_row(name, order) for order in ORDERS for name in PREDICTORS),
)


def premises(config: Any) -> dict[str, Report]:
    """What the unrolled graph of each of the four says, and what perfect tests make of it; the same for every E."""
    predictions = []
    for graph in GRAPHS:
        adjacency = np.zeros((3, 3), bool)
        adjacency[tuple(np.transpose(sorted(graph)))] = True
        report = structure_report(adjacency, (True,) * 3, num_environments=min(config.environments))
        found = np.asarray(decide_graph(*separation_tables(adjacency, (True,) * 3)).adjacency)
        name = ", ".join(f"{i} -> {j}" for i, j in sorted(graph))
        identified = report.prediction("edges identified")
        predictions += [
            Prediction(f"{name}: edges identified", f"{identified.value} of {len(graph)}", identified.why),
            Prediction(
                f"{name}: normalised SHD with perfect tests",
                _distance(set(map(tuple, np.argwhere(found).tolist())), graph),
                "the procedure, given the graph's own independences for p-values",
            ),
        ]
    return {arm_name(config.environments[0]): Report(report.premises, predictions)} if config.d == 3 else {}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per data set: distances of both variants, whether they are right, and of predictors, the same for every E."""
    found = {}
    for at, metrics in points(arms(config), results):
        num = at["num_environments"]
        for stuck in RULES:
            found[_shd(num, stuck)] = metrics[stuck]
            suffix = ", likeliest sink where stuck" * (stuck == "likeliest")
            found[f"{arm_name(num)}: graph right{suffix}"] = metrics[f"{stuck}, right"]
        found[f"{arm_name(num)}: every level found"] = metrics["settled"]
        for order in ORDERS:
            for name in PREDICTORS:
                found.setdefault(_predictor(name, order), metrics[f"{name}, order {order}"])
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Distance over the number of environments with bootstrap bands, beside the published one and the predictors."""
    cells = {float(at["num_environments"]): metrics for at, metrics in points(arms(config), results)}
    if not cells:
        return []
    series = {
        label: {num: metrics[stuck] for num, metrics in cells.items()}
        for stuck, label in (("stop", "causal de Finetti"), ("likeliest", "the same, likeliest sink where stuck"))
    }
    levels = {
        f"{PREDICTORS[name]}, {ORDERS[order]}": {
            num: float(np.mean(metrics[f"{name}, order {order}"])) for num, metrics in cells.items()
        }
        for name, order in (("complete", "known"), ("complete", "random"), ("guess", "known"), ("both ways", "known"))
    }
    if set(cells) <= set(KNOWN):
        levels["published"] = {num: KNOWN[int(num)][0] for num in cells}
    picture = over_parameter(
        series, "environments", "normalised SHD", references=levels, log_x=False, ylim=(-0.02, 1.02), band=0.95
    )  # fmt: skip
    caption = (
        "Normalised SHD, 0 for the true graph. Bands: 95 % of bootstrap samples of data sets. Dotted: the published "
        "study, and predictors that see no data, on the same graphs; without an edge it is 1."
    )
    return [Figure(caption, figure_png(picture))]
