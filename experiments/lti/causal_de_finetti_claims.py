"""What causal de Finetti predicts of linear systems: arms, bands, premises and the figure of rejection rates."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions.report import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.style import INK, MUTED, PALETTE, canvas, legend
from identax.run import Results, final_values

INDEPENDENT = {
    "one environment": (
        "x_t+1 and x_t-1 given x_t",
        "y_t and x_t-1 given x_t",
        "y_t and x_t+1 given x_t",
        "y_t and y_t-1 given x_t",
        "y_t and y_t+1 given x_t",
        "x_t+1 and the other's x_t given x_t",
        "y_t and the other's x_t given x_t",
        "y_t and the other's y_t",
    ),
    "pooled": (
        "y_t and the other's y_t given theta, psi",
        "y_t and y_t of another environment",
        "y_t and the other's x_t given x_t",
    ),
}
"""arm -> statements that hold: "the other" is a second trajectory of the same environment"""
DEPENDENT = {
    "one environment": ("x_t+1 and x_t-1", "y_t and x_t-1"),
    "pooled": (
        "y_t and the other's y_t",
        "x_t and the other's y_t given y_t",
        "y_t and the other's x_t given x_t, dependent priors",
        "x_t+1 and x_t-1 given x_t",
    ),
}
"""arm -> controls: statements that fail"""
DENSITIES = {
    "joint density, trajectories permuted": ("0 (theory), relative", (None, 1e-9)),
    "joint density, times permuted": ("above 0 (control), nats a step", (0.1, None)),
    "Kalman against dense density": ("0 (theory), relative", (None, 1e-9)),
    "Kalman against dense density, A 10 % off": ("above 0 (control), relative", (1e-4, None)),
}
_JUDGED = ("quick", "medium", "paper")


def arms(config: Any) -> Sequence[Arm]:
    """Trajectories of one environment, and pooled ones of many."""
    return [Arm(data, dataclasses.replace(config, data=data)) for data in ("one environment", "pooled")]


def statements(arm: str) -> tuple[str, ...]:
    """All that are tested in an arm."""
    return INDEPENDENT[arm] + DEPENDENT[arm]


def half_width(level: float, num_data_sets: int) -> float:
    """Four standard errors of a rejection rate."""
    return 4 * math.sqrt(level * (1 - level) / num_data_sets)


def references(presets: Mapping[str, Any]) -> tuple[Reference, ...]:
    """A band for every statement: level +- four standard errors over seeds x data sets, at least half for controls."""
    made = [
        Reference(f"one environment: {name}", text, dict.fromkeys(_JUDGED, band))
        for name, (text, band) in DENSITIES.items()
    ]
    bands = {}
    for tier in _JUDGED:
        config = presets[tier]
        width = half_width(config.level, config.num_seeds * config.num_replications)
        bands[tier] = (config.level - width, config.level + width)
    for arm, names in INDEPENDENT.items():
        made += [Reference(f"{arm}: {name}", ".05 +- 4 s.e. (theory)", bands) for name in names]
    for arm, names in DEPENDENT.items():
        made += [
            Reference(f"{arm}: {name}", "above .5 (control)", dict.fromkeys(_JUDGED, (0.5, None))) for name in names
        ]
    return tuple(made)


def premises(config: Any) -> dict[str, Report]:
    """What the data of each arm satisfy by construction, and the predicted rates."""
    count = f"{config.num_seeds * config.num_replications} data sets of {config.num_samples} rows"
    shared = [
        Premise("stable", bool(config.spectral_radius < 1), f"spectral radius {config.spectral_radius:g}", "bounded x"),
        Premise("rows independent", True, count, "a row is a trajectory, or an environment, never a time"),
    ]
    mixed = [
        Premise("independent priors", True, "theta, psi from streams of their own", "the mixture is over a product"),
        Premise("theta shows in means", config.mean_sd > 0, f"sd {config.mean_sd:g}", "what the pooled controls see"),
    ]
    made = {}
    for arm, more in (("one environment", []), ("pooled", mixed)):
        level = [Prediction(name, config.level, "level of the test") for name in INDEPENDENT[arm]]
        made[arm] = Report(
            [*shared, *more], [*level, *(Prediction(name, "towards 1", "control") for name in DEPENDENT[arm])]
        )
    return made


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed, as `arm: statement`."""
    return final_values(results)


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Rejection rates: one dot per seed, a line at the mean, the level with four standard errors as a band."""
    figure, axes = canvas((8.5, 5.2), "")
    labels = []
    for kind, (statements, color) in {
        "holds": (INDEPENDENT, PALETTE[0]),
        "control, fails": (DEPENDENT, PALETTE[1]),
    }.items():
        axes.plot([], [], "o", color=color, label=f"{kind}: mean over seeds, and every seed")
        for arm, result in results.items():
            for name in statements[arm]:
                rates = result.final(name)
                axes.plot(rates, np.full(len(rates), len(labels)), "|", color=color, ms=9, alpha=0.35)
                axes.plot(np.nanmean(rates), len(labels), "o", color=color, ms=6)
                labels.append(f"{arm}: {name}")
    width = half_width(config.level, config.num_seeds * config.num_replications)
    axes.axvspan(config.level - width, config.level + width, color=MUTED, alpha=0.3, lw=0, label="level, 4 s.e.")
    axes.axvline(config.level, color=INK, lw=0.8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(
        xlim=(0, 1.02), ylim=(len(labels) - 0.5, -0.5), xlabel="share of data sets in which independence is rejected"
    )
    legend(figure, axes)
    return [Figure("Statements of causal de Finetti, and controls, under Fisher's z-test.", figure_png(figure))]
