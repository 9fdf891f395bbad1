"""What `lti/published_training` compares, and what the authors logged: what is measured, premises and figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.lti import authors, worlds
from experiments.lti.table1_claims import column_of
from experiments.lti.table1_claims import reports as random_reports
from identax.assumptions.lti import lti_report
from identax.dgp.lti_plants import dc_motor
from identax.experiment import Arm, Reference
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.run import Results
from identax.study import Trials


def arms(config: Any) -> Sequence[Arm]:
    """Random variances in eight columns, the maximal design at both sample sizes, the motor with and without means."""
    maximal = dataclasses.replace(config, design="maximal")
    columns = {name: (0.0, 1.0) for name in ("zero_means", "use_B", "use_C")}  # in the order of Table 1
    motor = dataclasses.replace(
        config, plant="motor", dim=1, num_environments=3, num_samples=min(config.num_samples, 5000), batch_size=8,
        learning_rate=1e-2, num_steps=config.motor_steps, evaluate_every=config.motor_steps,
        checkpoint_every=config.motor_steps, log_every=min(config.log_every, config.motor_steps),
    )  # fmt: skip
    made = {
        "random": Arm("random", config, columns | authors.SWEEP),
        "maximal": Arm("maximal", maximal, authors.SWEEP),
        "maximal 28k": Arm(
            "maximal 28k", dataclasses.replace(maximal, num_samples=config.num_samples * 7 // 3), authors.SWEEP
        ),
        "motor": Arm("motor", motor, {"zero_means": (0.0, 1.0)} | authors.SWEEP),
    }
    return [made[part] for part in config.parts]


_LOGGED = {
    "mean, B=I, C=I": ".583",
    "mean, B=I": ".511",
    "mean, C=I": ".517",
    "mean": ".596",
    "zero mean, B=I, C=I": ".620",
    "zero mean, B=I": ".680",
    "zero mean, C=I": ".693",
    "zero mean": ".733",
}
"""last validation MCC at d = 2, mean of the authors' five systems (their notebook)"""


def _references() -> list[Reference]:
    """Bands: the spread over the five seeds where it is known, else 0.1; none for directions of decay (zero means)."""

    def both(low, high):
        return {tier: (low, high) for tier in ("quick", "medium")}

    made = [
        Reference("maximal: val MCC", ".807±.138 (authors' setup, run again, n=5)", both(0.807 - 0.138, 0.807 + 0.138)),
        Reference("maximal: train MCC", ".945±.043 (run again, n=5)", both(0.945 - 0.043, 0.945 + 0.043)),
        Reference(
            "maximal 28k: val MCC", ".864±.098 (authors' notebook, n=5)", {"medium": (0.864 - 0.098, 0.864 + 0.098)}
        ),
        Reference(
            "maximal 28k: train MCC", ".968±.055 (Table 1, n=5)", {"medium": (0.968 - 0.055, 1.0)}
        ),
        Reference(
            "motor, zero mean: val MCC",
            ".855 (authors' notebook, n=5)",
            both(0.855 - 0.02, 0.855 + 0.02),
            "Their five values: 1.00, .92, .96, .40, .99.",
        ),
        Reference("motor, mean: val MCC", ".340 (authors' notebook, n=5)", both(0.34 - 0.1, 0.34 + 0.1)),
    ]  # fmt: skip
    for column, text in _LOGGED.items():
        # Zero means: W decays to 0, and in the authors' float32 ended on subnormal numbers.
        bands = {} if "zero" in column else {"medium": (float(text) - 0.1, float(text) + 0.1)}
        made.append(Reference(f"{column}: val MCC", f"{text} (authors' notebook, n=5)", bands))
    return made


REFERENCES = tuple(_references())


def premises(config: Any) -> Mapping[str, Any]:
    """Per arm a function that reports on the first seed's system and environments."""

    def motor(config):
        with jax.enable_x64(True):
            environments = worlds.motor_environments(
                Trials.grid(1, seed=config.seed).keys[0], config, 1.0, np.zeros(())
            )
            return lti_report(dc_motor(config.dt), environments, num_samples=config.num_samples, objective="published")

    own = arms(config)
    made = dict(random_reports([arm for arm in own if arm.config.plant == "random"]))
    return made | {arm.name: (lambda arm=arm: motor(arm.config)) for arm in own if arm.config.plant == "motor"}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every last metric per seed, as `cell: quantity`."""
    return {
        f"{cell}: {quantity}": result.final(quantity)[mask]
        for cell, _, result, mask in _cells(config, results)
        for quantity in result.evaluation
    }


def _cells(config: Any, results: Mapping[str, Results]):
    """Name, coordinates, results and trials of every cell; the five published seeds count as seeds."""
    for at, result, mask in cells(arms(config), results, pooled=("author",)):
        if at["plant"] == "motor":
            yield f"motor, {'zero mean' if at['zero_means'] else 'mean'}", at, result, mask
        elif at["design"] == "maximal":
            yield at["arm"], at, result, mask
        elif column := column_of(at):
            yield column, at, result, mask


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Validation MCC after training and at the optimum; how the MCC moves with epochs."""
    found = list(_cells(config, results))
    trained = {cell: result.final("val MCC")[mask] for cell, _, result, mask in found}
    optimum = {
        cell: result.final("optimum: val MCC")[mask]
        for cell, _, result, mask in found
        if "optimum: val MCC" in result.evaluation
    }
    series = {"after training": trained} | ({"at the optimum": optimum} if optimum else {})
    caption = "MCC of consecutive batches after the published training and at the optimum of its objective."
    drawn = [Figure(caption, figure_png(bars(series, "val MCC")))]
    random = [(cell, result, mask) for cell, at, result, mask in found if at["plant"] == "random"]
    for length in dict.fromkeys(len(result.evaluation_steps) for _, result, _ in random):
        own = {cell: (result, mask) for cell, result, mask in random if len(result.evaluation_steps) == length}
        if length > 1:
            epochs = next(iter(own.values()))[0].evaluation_steps
            curves = {cell: result.evaluation["val MCC"][mask] for cell, (result, mask) in own.items()}
            picture = learning_curves(epochs, curves, "val MCC", ylim=(0.0, 1.0))
            drawn.append(Figure("MCC against epochs.", figure_png(picture)))
    return drawn
