"""What `imavae/self_consistency` compares, predicts and measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imavae import oracles, sweeps
from experiments.imavae.config import check_config
from experiments.imavae.worlds import World, mlp_world
from identax.experiment import Arm, Reference
from identax.report import Figure
from identax.run import Results

IDENTITY, DESCRIBED = "identity", "alpha 0.2"

PUBLISHED = {
    1e1: {"-ELBO": 4.2634, "MSE of x": 1.09e-2, "log10 variance": -0.735},
    1e2: {"-ELBO": 4.2763, "MSE of x": 2.6e-4, "log10 variance": -1.598},
    1e3: {"-ELBO": 4.3292, "MSE of x": 4.6e-5, "log10 variance": -2.500},
    1e4: {"-ELBO": 4.5046, "MSE of x": 1.5e-5, "log10 variance": -3.436},
    1e5: {"-ELBO": 5.1454, "MSE of x": 5.0e-6, "log10 variance": -4.387},
    1e6: {"-ELBO": 8.800, "MSE of x": 2.8e-6, "log10 variance": -5.355},
}
"""the authors' sweep (data file, n = 20): linear mixing and a learned prior variance, which moves the variances"""


def arms(config: Any) -> Sequence[Arm]:
    """The mixing of the published numbers, and the described one, swept over gamma^2; precisions that are found."""
    check_config(config)
    sweep, start = {"precision": config.precisions}, {"precision": config.precisions[:1]}
    return (
        Arm(IDENTITY, dataclasses.replace(config, alpha=1.0), sweep, fixed=("alpha",)),
        Arm(DESCRIBED, dataclasses.replace(config, alpha=0.2), sweep, fixed=("alpha",)),
        *(
            Arm(found_by(rule), dataclasses.replace(config, alpha=1.0, precision_rule=rule), start, fixed=("alpha",))
            for rule in config.rules
        ),
    )


def found_by(rule: str) -> str:
    """How the arm is called whose precision is found by a rule; its quantities are named by where it starts."""
    return f"{IDENTITY}, precision of {rule}" if rule == "largest likelihood" else f"{IDENTITY}, {rule} precision"


def _of_given_precision(config: Any) -> list[Arm]:
    return [arm for arm in arms(config) if arm.config.precision_rule == "fixed"]


_OWN_RUNS = {
    1e1: {"-ELBO": (4.25, 4.30), "variance": (0.098, 0.109), "MSE of x": (0.0098, 0.015)},
    1e2: {"-ELBO": (4.25, 4.42), "variance": (0.0098, 0.0108)},
    1e3: {"-ELBO": (4.25, 4.82), "variance": (0.00098, 0.00113)},
}
"""from the exact optimum over decoders and encoders (-ELBO 4.2568 = 3/2 log(2 pi e), variance 1 / gamma^2, MSE
1 / gamma^4), less 2 % (.007 nats) for the finite sample, to the largest value of an earlier independent run of this
network (3 seeds, 6000 steps at a constant rate)"""

REFERENCES = (
    *(
        Reference(
            sweeps.row(IDENTITY, precision, name),
            f"{PUBLISHED[precision][name]:.4g} (data file, n = 20)" if name in PUBLISHED[precision] else "1 / gamma^2",
            {"quick": band},
            note="The paper's prior variance is learned: compare variances with 1 / gamma^2."
            if name == "variance"
            else "",
        )
        for precision, bands in _OWN_RUNS.items()
        for name, band in bands.items()
    ),
    *(
        Reference(
            sweeps.row(arm, precision, "log10 variance over predicted"),
            paper,
            {"quick": (-0.05, 0.05), "medium": (-0.05, 0.05)},
            note="Local Jacobians of the learned decoder at posterior means.",
        )
        for arm, precision, paper in (
            (IDENTITY, 1e1, ".034 +- .017 (data file)"),
            (IDENTITY, 1e2, ".006 +- .012 (data file)"),
            (IDENTITY, 1e3, ".001 +- .015 (data file)"),
            (DESCRIBED, 1e2, "no number of this mixing"),
            (DESCRIBED, 1e3, "no number of this mixing"),
        )
    ),
    Reference(
        sweeps.row(DESCRIBED, 1e1, "variance"),
        "1 (collapse; derived: gamma^2 times the largest eigenvalue of cov x is below 1)",
        {"quick": (0.97, 1.03), "medium": (0.97, 1.03)},
    ),
    *(
        Reference(sweeps.row(IDENTITY, p, "-ELBO"), f"{PUBLISHED[p]['-ELBO']:.4g} (data file, n = 20)")
        for p in (1e4, 1e5)
    ),
    *(
        Reference(sweeps.row(IDENTITY, p, "1 / MSE over gamma^2"), f"{paper} (data file, n = 20)")
        for p, paper in ((1e3, "22"), (1e4, "6.5"), (1e5, "2.29 +- .77"))
    ),
    *(
        Reference(
            sweeps.row(found_by(rule), 1e1, "decoder precision"),
            "no data published",
            note="Without noise in x it has no finite optimum: larger is better, as far as training reaches.",
        )
        for rule in ("learned", "largest likelihood")
    ),
    *(
        Reference(sweeps.row(IDENTITY, p, "importance-weighted -ELBO"), "4.2568 (the ELBO's optimum is log p here)")
        for p in (1e1, 1e3, 1e5)
    ),
)


def premises(config: Any) -> dict[str, Any]:
    """Per arm: what the theorem asks for, and what the optimum is at every gamma^2."""
    return oracles.premises(arms(config), world)


def world(config: Any) -> World:
    """The one world of all seeds."""
    return mlp_world(config.dim, num_layers=config.mixing_layers, alpha=config.alpha, seed=config.mixing_seed)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed and precision, and 1 / MSE over gamma^2: 1 where gamma^2 is its own estimate."""
    found = sweeps.measured(arms(config), results)
    for arm, of_arm in sweeps.by_precision(_of_given_precision(config), results).items():
        for precision, mse in of_arm["MSE of x"].items():
            found[sweeps.row(arm, precision, "1 / MSE over gamma^2")] = 1 / (mse * precision)
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Variance, error and -ELBO over a given gamma^2, beside prediction and paper; recovery over training."""
    found = sweeps.by_precision(_of_given_precision(config), results)
    published = sweeps.published(PUBLISHED, config)
    predicted = {p: float(-np.log10(p)) for p in config.precisions}
    return [
        *sweeps.sweep_figure(
            found, "log10 variance", "Posterior variance over γ². Theory: 1/γ², right for the identity.",
            references={"identity, theory": predicted, "paper": published["log10 variance"]},
        ),
        *sweeps.sweep_figure(
            found, "MSE of x", "Reconstruction error of posterior means over γ².",
            references={"paper": published["MSE of x"]}, log_y=True,
        ),
        *sweeps.sweep_figure(
            found, "log10 variance over predicted",
            "Posterior variance over 1/(prior curvature + γ²‖J_k‖²) of the learned decoder: 0 is self-consistent.",
        ),
        *sweeps.sweep_figure(found, "-ELBO", "-ELBO over γ² (nats).", references={"paper": published["-ELBO"]}),
        *sweeps.training_figures(arms(config), results),
    ]  # fmt: skip
