"""What the study of missing combinations compares, presumes and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.imavae import factors, sweeps
from identax.assumptions import Prediction, Premise, Report
from identax.dgp import moebius
from identax.experiment import Arm
from identax.jacobians import jacobian
from identax.metrics import c_ima
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import scatter_latents
from identax.run import Results

WORLDS = ("full", "copula", "cut", "gaussian")
METRICS = ("MCC", "c_IMA", "log likelihood", "log likelihood of the truth", "coverage", "c_IMA of the truth")
SMALL = 1e-3
"""contrast of the truth that counts as none: float32 leaves about 1e-7"""


def arms(config: Any) -> list[Arm]:
    """Every world, at every weight of the penalty, 0 among them as the control."""
    return [
        Arm(name, dataclasses.replace(config, world=number), {"weight": config.weights}, fixed=("world",))
        for number, name in enumerate(WORLDS)
    ]


def laws(config: Any) -> list[factors.Factors]:
    """The laws of the factors, in the order of `WORLDS`."""
    dim = config.dim
    return [
        factors.uniform_factors(dim),
        factors.copula_factors(dim, config.correlation),
        factors.cut_factors(dim),
        factors.gaussian_factors(dim),
    ]


def premises(config: Any) -> dict[str, Report]:
    """Contrast of the truth and coverage, of one draw of each world, before anything is trained."""
    return {name: _report(config, law) for name, law in zip(WORLDS, laws(config), strict=True)}


def _report(config, law):
    key = jax.random.key(config.seed)
    mixing = moebius(config.dim)
    weights, s = mixing.init(key), law.sample(key, config.num_evaluate)
    contrast = float(c_ima(jacobian(lambda s: mixing.apply(weights, s), s)).mean())
    coverage, bounded = float(law.coverage(s)), law.bounds is not None
    held = [
        Premise("true columns are orthogonal", contrast < SMALL, f"c_IMA {contrast:.1e} of {len(s)} draws", "premise"),
        Premise(
            "the domain is a bounded product",
            bounded,
            "a cube" if bounded else "all of R^n, which a rotation maps onto itself",
            "own reading: literally, the abstract would hold of Gaussian factors, where it cannot",
        ),
        Premise(
            "all combinations occur",
            coverage > 0.99 if bounded else None,
            f"{coverage:.1%} of the cells of a grid of 5 bins",
            "premise of the abstract; measured, as full support of a law may be empty in a sample",
        ),
    ]
    good = all(premise.holds for premise in held)
    said = "above that of weight 0" if good else "as that of weight 0" if not bounded else "not promised"
    why = "orthogonality with all combinations" if good else "a premise fails"
    return Report(held, [Prediction("MCC with the penalty", said, why)])


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Last values per seed: "<world>, weight <w>: <metric>"."""
    return {
        f"{at['arm']}, weight {at['weight']:g}: {name}": result.final(name)[mask]
        for at, result, mask in cells(arms(config), results)
        for name in METRICS
    }


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery and contrast by world, and what one trial of each recovered at the largest weight."""
    own = cells(arms(config), results)
    rows = ((f"weight {at['weight']:g}", at["arm"], result, mask) for at, result, mask in own)
    drawn = sweeps.final_bars(rows, "world and weight of the penalty")
    for arm in arms(config):
        of_arm = list(cells([arm], results))
        if of_arm:
            at, result, mask = of_arm[-1]
            trial = int(np.flatnonzero(mask)[0])
            picture = scatter_latents(result.kept("latents")[trial], result.kept("codes")[trial])
            caption = f"{arm.name}, weight {at['weight']:g}: factors against codes of one trial."
            drawn.append(Figure(caption, figure_png(picture)))
    return drawn
