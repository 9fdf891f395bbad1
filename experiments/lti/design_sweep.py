"""How environments should be designed: errors against cond(Delta), the number of environments, and of samples.

The study that Rajendran et al. 2024 suggests in section 4 and appendix D.1 and does not run: from their random to their
maximally variable environments along the condition number of Delta, for the three estimators, with 95 % intervals.

    python -m experiments run lti/design_sweep --preset quick
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from experiments.lti import table1, table1_claims
from experiments.lti.estimators import ESTIMATORS
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.run import Results

FLOAT64 = True
TRACED = (*(name for name in table1.TRACED if name != "author"), "condition")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(table1.Config):
    """One size, three sweeps."""

    dim: int = 3
    condition: float = 1.0
    """of Delta, in the design "condition" """
    conditions: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    environments: tuple[int, ...] = (4, 7, 10)
    """of random design: d + 1, 2 d + 1, 3 d + 1"""
    samples: tuple[int, ...] = (500, 2000, 8000)
    """per environment, random design"""
    num_samples: int = 4000
    num_seeds: int = 20


_SAMPLES = (500, 2000, 8000, 32_000)
PRESETS: dict[str, Config] = {
    "smoke": Config(conditions=(1.0, 10.0), environments=(4,), samples=(200,), num_samples=200, num_seeds=2),
    "quick": Config(num_samples=2000, samples=(), environments=(4, 10), num_batches=4),
    "medium": Config(num_samples=12_000, samples=_SAMPLES, num_seeds=64),
    "paper": Config(num_samples=12_000, samples=_SAMPLES, num_seeds=256),
}
_OURS = "none published"
REFERENCES = (
    Reference("condition 1: conditional, MCC", "1 (theory)", {"quick": (0.999, None), "medium": (0.999, None)}),
    Reference("condition 1: closed form, MCC", "1 (theory)", {"quick": (0.99, None), "medium": (0.99, None)}),
    *(Reference(f"condition {c:g}: {e}, MCC", _OURS) for c in Config().conditions[1:] for e in ESTIMATORS),
    *(Reference(f"environments {n}: {e}, MCC", _OURS) for n in Config().environments for e in ESTIMATORS),
    *(Reference(f"samples {n}: {e}, MCC", _OURS) for n in _SAMPLES for e in ESTIMATORS),
)
build = table1.build


def arms(config: Config) -> Sequence[Arm]:
    """One arm for all condition numbers, one per number of environments and of samples.

    Raises `ValueError` for the systems of published seeds, whose environments cannot be designed.
    """
    if config.author >= 0:
        raise ValueError(
            f"lti/design_sweep: found author={config.author}, wanted -1: the environments are designed here"
        )
    return [arm for own in _sweeps(config).values() for arm in own]


def _sweeps(config: Config) -> dict[str, list[Arm]]:
    """What is varied -> its arms."""
    designed = Arm("condition", dataclasses.replace(config, design="condition"), {"condition": config.conditions})
    found = {"condition": [designed]}
    for what, (field, _) in _VARIED.items():
        if what != "condition":
            counts = getattr(config, what)
            found[what] = [Arm(f"{what} {count}", dataclasses.replace(config, **{field: count})) for count in counts]
    return found


_VARIED = {
    "condition": ("condition", "condition number of Delta"),
    "environments": ("num_environments", "number of environments"),
    "samples": ("num_samples", "observations per environment"),
}
"""what is varied -> (field, axis label)"""


def premises(config: Config) -> Mapping[str, Any]:
    """Per arm a function that checks the first seed's system and design."""
    return table1_claims.reports(arms(config))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per system for every setting, as `setting: estimator, quantity`."""
    measured = {}
    for what, own in _sweeps(config).items():
        for at, final in points(own, results):
            setting = f"condition {at['condition']:g}" if what == "condition" else at["arm"]
            for estimator in ESTIMATORS:
                for quantity in ("MCC", "Amari distance", "error of F", "error of H"):
                    measured[f"{setting}: {estimator}, {quantity}"] = final[f"{estimator}: {quantity}"]
    return measured


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """1 - MCC with 95 % intervals of the mean over systems, along each sweep."""
    drawn = []
    for what, own in _sweeps(config).items():
        field, label = _VARIED[what]
        curve = {at[field]: final for at, final in points(own, results)}
        if not curve:
            continue
        canvas = Canvas(figsize=(5, 3.4), layout="constrained")
        axes = canvas.subplots()
        for estimator in ESTIMATORS:
            values = [1 - final[f"{estimator}: MCC"] for final in curve.values()]
            mean = np.array([v.mean() for v in values])
            half = np.array([1.96 * v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0.0 for v in values])
            low = np.minimum(half, 0.9 * mean)
            axes.errorbar(list(curve), mean, yerr=[low, half], marker="o", capsize=3, label=estimator)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="1 - MCC")
        axes.legend(frameon=False)
        caption = f"Mean over systems with its 95 % interval, along {label}; d = {config.dim}."
        drawn.append(Figure(caption, figure_png(canvas)))
    return drawn
