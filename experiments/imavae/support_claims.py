"""What the study of missing combinations compares, presumes and measures."""

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

ARM = "flow"
WORLDS = ("full", "copula", "cut", "gaussian")
METRICS = ("MCC", "c_IMA", "log likelihood", "log likelihood of the truth", "coverage", "c_IMA of the truth")
SMALL = 1e-3
"""contrast of the truth that counts as none: float32 leaves about 1e-7"""


def arms(config: Any) -> list[Arm]:
    """Every world at every weight of the penalty, 0 among them as the control: trials of one program, side by side."""
    return [Arm(ARM, config, {"world": tuple(range(len(WORLDS))), "weight": config.weights})]


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
    of_worlds = [_report(config, name, law) for name, law in zip(WORLDS, laws(config), strict=True)]
    premises = [premise for held, _ in of_worlds for premise in held]
    return {ARM: Report(premises, [prediction for _, prediction in of_worlds])}


def _report(config, world, law):
    key = jax.random.key(config.seed)
    mixing = moebius(config.dim)
    weights, s = mixing.init(key), law.sample(key, config.num_evaluate)
    contrast = float(jax.jit(lambda s: c_ima(jacobian(lambda s: mixing.apply(weights, s), s)).mean())(s))
    coverage, bounded = float(law.coverage(s)), law.bounds is not None
    held = [
        Premise(
            f"{world}: true columns are orthogonal",
            contrast < SMALL,
            f"c_IMA {contrast:.1e} of {len(s)} draws",
            "premise",
        ),
        Premise(
            f"{world}: the domain is a bounded product",
            bounded,
            "a cube" if bounded else "all of R^n, which a rotation maps onto itself",
            "own reading: literally, the abstract would hold of Gaussian factors, where it cannot",
        ),
        Premise(
            f"{world}: all combinations occur",
            coverage > 0.99 if bounded else None,
            f"{coverage:.1%} of the cells of a grid of 5 bins",
            "premise of the abstract; measured, as full support of a law may be empty in a sample",
        ),
    ]
    good = all(premise.holds for premise in held)
    said = "above that of weight 0" if good else "as that of weight 0" if not bounded else "not promised"
    why = "orthogonality with all combinations" if good else "a premise fails"
    return held, Prediction(f"{world}: MCC with the penalty", said, why)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Last values per seed: "<world>, weight <w>: <metric>"."""
    return {
        f"{WORLDS[at['world']]}, weight {at['weight']:g}: {name}": result.final(name)[mask]
        for at, result, mask in cells(arms(config), results)
        for name in METRICS
    }


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery and contrast by world, and what one trial of each recovered at the largest weight."""
    own = list(cells(arms(config), results))
    rows = ((f"weight {at['weight']:g}", WORLDS[at["world"]], result, mask) for at, result, mask in own)
    drawn = sweeps.final_bars(rows, "world and weight of the penalty")
    for at, result, mask in own:
        if at["weight"] == max(config.weights):
            trial = int(np.flatnonzero(mask)[0])
            picture = scatter_latents(result.kept("latents")[trial], result.kept("codes")[trial])
            caption = f"{WORLDS[at['world']]}, weight {at['weight']:g}: factors against codes of one trial."
            drawn.append(Figure(caption, figure_png(picture)))
    return drawn
