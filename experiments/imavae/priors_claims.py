"""What `imavae/priors` compares, predicts and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import oracles, sweeps
from experiments.imavae.config import check_config
from experiments.imavae.worlds import World, moebius_world
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

PUBLISHED = {
    ("uniform", 2): {1e3: (0.447, None), 1e4: (0.952, None), 1e5: (0.973, None)},
    ("uniform", 3): {1e3: (0.862, 0.133), 1e4: (0.868, 0.097), 1e5: (0.790, 0.098)},
    ("uniform", 5): {1e3: (0.876, 0.008), 1e4: (0.944, 0.050)},
    ("uniform", 10): {1e3: (0.213, None), 1e4: (0.837, 0.050)},
    ("gaussian", 2): {1e5: (0.920, None)},
    ("gaussian", 3): {1e4: (0.817, None)},
    ("gaussian", 5): {1e4: (0.687, None)},
    ("gaussian", 10): {1e3: (0.215, None)},
    ("laplace", 2): {1e5: (0.888, None)},
    ("laplace", 3): {1e5: (0.757, None)},
    ("laplace", 5): {1e4: (0.585, None)},
    ("laplace", 10): {1e3: (0.212, None)},
}
"""(prior, dim) -> gamma^2 -> mean and sd of the MCC of sampled batches: the authors' data file of priors and dims"""
SATURATED = {
    1e1: (".055",), 1e3: (".664 +- .077", "-.24"), 1e4: (".805 +- .096", "-.030"), 1e5: (".825 +- .080", "-.003"),
    1e6: (".826 +- .084", ".000"), 1e7: (".817", ".001"), 1e8: (".816", ".058"), 1e10: (".818", "1.16"),
}  # fmt: skip
"""gamma^2 -> MCC within a batch of 512 (chance: .054), log10 of variance over prediction: the authors' sweep with a
normal prior, 16 to 19 seeds"""
SATURATION = ".805 +- .096 (1e4), .825 +- .080 (1e5), .82 up to 1e10: sweep with a normal prior, 16 to 19 seeds"


def arm_name(prior: str, dim: int) -> str:
    """How the arm of a prior and a dim is called."""
    return f"{prior}, d={dim}"


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each prior and dim, with the sweep over gamma^2."""
    check_config(config)
    return tuple(
        Arm(
            arm_name(prior, dim), dataclasses.replace(config, prior=prior, dim=dim), {"precision": config.precisions}
        )
        for dim in config.dims
        for prior in config.priors
    )  # fmt: skip


def world(config: Any) -> World:
    """The published Moebius map in three dims, another one for each seed in others."""
    return moebius_world(config.dim, "reference" if config.dim == 3 else "random")


def above(precision: float) -> str:
    """How the advantage of the sources' own prior is named."""
    return f"uniform above gaussian, d=3, {sweeps.at_precision(precision)}: MCC"


REFERENCES = (
    Reference(
        above(1e4), "about .15: .9606 in the sweep with a uniform prior, .805 with a normal one",
        {"quick": (0.0, None), "medium": (0.0, None)}, note="Difference of medians over the seeds, posterior means.",
    ),
    Reference(
        f"{arm_name('gaussian', 3)}, {sweeps.at_precision(1e4)}: MCC, sampled batches", f"{SATURATION} (data file)",
        note="The bounded sources are not normal: the ELBO's limit is no likelihood of this world.",
    ),
    *(
        Reference(
            f"{arm_name(prior, dim)}, {sweeps.at_precision(precision)}: MCC, sampled batches",
            f"{mean:.3f}{'' if sd is None else f' +- {sd:.3f}'}, n <= 5 (data file, older code)",
        )
        for (prior, dim), row in PUBLISHED.items()
        for precision, (mean, sd) in row.items()
        if (prior, dim, precision) != ("gaussian", 3, 1e4)
    ),
    *(
        Reference(sweeps.row(arm_name("gaussian", 3), precision, name), f"{value} (data file; batch of 512)")
        for precision, row in SATURATED.items()
        for name, value in zip(("MCC, sampled batches", "log10 variance over predicted"), row, strict=False)
        if (precision, name) != (1e4, "MCC, sampled batches")
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Any]:
    """What the theorem asks for: of these arms only the uniform prior's meets it. With optima of each world."""
    return oracles.premises(arms(config), world)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed, prior, dim and precision; how far the uniform prior is above the normal one."""
    found = sweeps.measured(arms(config), results)
    mcc = {arm: of_arm["MCC"] for arm, of_arm in sweeps.by_precision(arms(config), results, ("MCC",)).items()}
    own, other = mcc.get(arm_name("uniform", 3), {}), mcc.get(arm_name("gaussian", 3), {})
    for precision in sorted(set(own) & set(other)):
        found[above(precision)] = np.array([np.median(own[precision]) - np.median(other[precision])])
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """MCC over gamma^2 by prior and dim; recovery over training."""
    found = sweeps.by_precision(arms(config), results)
    return [
        *sweeps.sweep_figure(found, "MCC", "MCC of posterior means by prior and dim.", ylim=(-0.02, 1.02)),
        *sweeps.sweep_figure(
            found, "MCC, sampled batches", "MCC of sampled latents within batches of 64.", ylim=(-0.02, 1.02)
        ),
        *sweeps.training_figures(arms(config), results),
    ]
