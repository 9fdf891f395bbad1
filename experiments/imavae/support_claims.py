"""What the study of missing combinations compares, presumes and measures."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imavae import factors, sweeps
from experiments.imavae.config import check_config
from identax.assumptions import Prediction, Premise, Report
from identax.dgp import moebius
from identax.experiment import Arm
from identax.jacobians import jacobian
from identax.metrics import c_ima
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import scatter_latents
from identax.run import Results
from identax.run.program import compiler_options

ARM = "flow"
WORLDS = ("full", "copula", "cut", "gaussian")
METRICS = ("MCC", "c_IMA", "log likelihood", "log likelihood of the truth", "coverage", "c_IMA of the truth")
SMALL = 1e-3
"""contrast of the truth that counts as none: float32 leaves about 1e-7"""


def arms(config: Any) -> list[Arm]:
    """Every world at every weight of the penalty, 0 among them as the control: trials of one program, side by side."""
    check_config(config)
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
    known = laws(config)
    look = jax.jit(functools.partial(_seen, config, known), compiler_options=compiler_options())
    of_worlds = [
        _report(name, law.bounds is not None, config.num_evaluate, *map(float, values))
        for name, law, values in zip(WORLDS, known, look(jax.random.key(config.seed)), strict=True)
    ]
    premises = [premise for held, _ in of_worlds for premise in held]
    return {ARM: Report(premises, [prediction for _, prediction in of_worlds])}


def _seen(config, known, key):
    """Of one draw of every law: the mean contrast of one mixing, and the coverage."""
    mixing = moebius(config.dim)
    weights, drawn = mixing.init(key), [law.sample(key, config.num_evaluate) for law in known]
    local = c_ima(jacobian(lambda s: mixing.apply(weights, s), jnp.concatenate(drawn)))
    coverages = [law.coverage(s) for law, s in zip(known, drawn, strict=True)]
    return list(zip(local.reshape(len(known), -1).mean(axis=1), coverages, strict=True))


def _report(world, bounded, num, contrast, coverage):
    held = [
        Premise(
            f"{world}: true columns are orthogonal",
            contrast < SMALL,
            f"c_IMA {contrast:.1e} of {num} draws",
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
