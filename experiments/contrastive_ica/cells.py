"""Names for the cells of the matrix, and what both tables do with them: baselines, premises, measurements, figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.contrastive_ica.matrix import Cell, Config, check
from experiments.contrastive_ica.worlds import SPACES, fitted_temperature, power_law
from identax.assumptions import ContrastiveObjective, ContrastiveWorld, Report, contrastive_report
from identax.checks import check_choice
from identax.experiment import Arm
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.run import Results

POSITIVES: Mapping[str, Mapping[str, Any]] = {
    "vMF 1": {"conditional": "vmf", "conditional_scale": 1.0},
    "vMF 10": {"conditional": "vmf", "conditional_scale": 10.0},
    "Laplace": {"conditional": "laplace", "conditional_scale": 0.05},
    "Normal": {"conditional": "normal", "conditional_scale": 0.05},
    "GenNorm3": {"conditional": "generalized_normal", "conditional_scale": 0.05, "conditional_p": 3.0},
    "Normal 1": {"conditional": "normal", "conditional_scale": 1.0},
}
"""conditionals by name: kappa for vMF; otherwise scale 0.05 (Normal: standard deviation) unless a number says else"""

MARGINALS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"marginal": "uniform"},
    "Normal 1": {"marginal": "normal", "marginal_scale": 1.0},
    "Laplace 1": {"marginal": "laplace", "marginal_scale": 1.0},
}
"""marginals by name, around e_1 on a sphere and around 0 elsewhere"""

MODELS: Mapping[str, Mapping[str, Any]] = {
    "sphere": {"objective": "infonce", "head": "sphere"},
    "learnable sphere": {"objective": "infonce", "head": "learnable_sphere"},
    **{f"box L{p}": {"objective": "lp_infonce", "head": "learnable_box", "loss_p": p} for p in (1, 2, 3)},
    **{f"unbounded L{p}": {"objective": "lp_infonce", "head": "none", "loss_p": p} for p in (1, 2, 3)},
    "supervised sphere": {"objective": "supervised", "head": "sphere"},
    "supervised box": {"objective": "supervised", "head": "learnable_box"},
    "supervised": {"objective": "supervised", "head": "none"},
}
"""objective, output head and p of the loss by name"""


_PRESSED = {("Normal", "box L2"): 2.0, ("Laplace", "box L2"): 2.0, ("GenNorm3", "box L1"): 10.0}
"""cells whose loss alone does not single out the axes (or prefers others): there the walls of the box must do it"""
_LIKES_BLENDS = ("GenNorm3", "box L1")
_EARLY = {"press_from": 0.1, "press_to": 0.3, "pressed_rate": 2.0}
"""for the cell whose loss likes blends of two latents: a high rate undoes them, from the start it would fold latents"""
_SPHERE_TEMPERATURE, _POINT_PRESS = 0.05, 0.25  # around a point: ends at 1/80


def cell(config: Config, space: str, positives: str, model: str, marginal: str = "uniform") -> Cell:
    """The cell of these names under the settings of `config`.

    Raises `ValueError` for an unknown name or a combination that does not exist.
    """
    for what, name, known in (
        ("space", space, SPACES),
        ("positives", positives, POSITIVES),
        ("model", model, MODELS),
        ("marginal", marginal, MARGINALS),
    ):
        check_choice("contrastive_ica", what, name, tuple(known))
    chosen = dict(MODELS[model])
    chosen["head"] = config.box_head if chosen["head"] == "learnable_box" else chosen["head"]
    named = {"space": space, **MARGINALS[marginal], **POSITIVES[positives], **chosen}
    made = Cell(**{**dataclasses.asdict(config), **_sizes(config, space, positives, model), **named})
    made = dataclasses.replace(made, schedule_steps=float(made.num_steps))
    check(made)
    if config.temperatures == "one" or made.objective == "supervised":
        return made
    near = made.objective == "infonce" and made.conditional != "vmf"
    narrow = config.sphere_press if marginal == "uniform" else _POINT_PRESS
    press = narrow if near else _PRESSED.get((positives, model), 1.0)
    early = _EARLY if (positives, model) == _LIKES_BLENDS else {}
    return dataclasses.replace(made, temperature=fast_temperature(made), press=press, **early)


def fast_temperature(made: Cell) -> float:
    """Of an Lp loss what fits the conditional in latent units; of the dot product 1 for vMF, else 1/20 (then falling).

    On the sphere the paper's temperature 1 leaves positives of scale 0.05 next to no weight in a batch of hundreds.
    Raises `ValueError` for von Mises-Fisher positives with an Lp loss.
    """
    if made.objective == "infonce":
        return 1.0 if made.conditional == "vmf" else _SPHERE_TEMPERATURE
    if made.conditional == "vmf":
        raise ValueError("contrastive_ica: found vMF positives with an Lp loss, wanted temperatures='one'")
    return fitted_temperature(*power_law(made), made.loss_p)


def _sizes(config: Config, space: str, positives: str, model: str) -> dict[str, int]:
    """Dim, batch and steps where they are not the config's own."""
    sizes = {}
    if space == "sphere":
        sizes["dim"] = config.sphere_dim
    elif model == "unbounded L2":
        sizes["dim"] = config.rotation_dim
    if MODELS[model]["objective"] == "supervised":
        return sizes | {"num_steps": config.num_supervised_steps}
    if positives == "vMF 1":
        sizes["batch_size"] = config.weak_batch_size
    if (positives, model) == ("GenNorm3", "box L1"):
        sizes["num_steps"] = config.num_pressed_steps
    elif positives in ("vMF 1", "GenNorm3") or MODELS[model]["head"] == "learnable_box":
        sizes["num_steps"] = config.num_long_steps
    return sizes


def premises(arms: Sequence[Arm]) -> Mapping[str, Report]:
    """Which theorem applies to each contrastive arm, and what it predicts."""
    return {arm.name: _report(arm.config) for arm in arms if arm.config.objective != "supervised"}


def _report(made: Cell) -> Report:
    names = {"sphere": "sphere", "box": "box", "unbounded": "euclidean"}
    vmf = made.conditional == "vmf"
    flat = made.marginal == "uniform" or (made.marginal == "vmf" and made.marginal_scale == 0)
    name = {"normal": "normal, standard deviation", "laplace": "Laplace, scale", "vmf": "von Mises-Fisher, kappa"}
    marginal = "uniform" if flat else f"{name[made.marginal]} {made.marginal_scale:g}"
    world = ContrastiveWorld(
        names[made.space],
        made.dim,
        marginal=marginal,
        precision=(made.conditional_scale,) * made.dim if vmf else None,
        p=None if vmf else power_law(made)[0],
        exact=vmf or made.space != "sphere",
    )
    output = "euclidean" if made.head == "none" else made.head.removeprefix("learnable_")
    lp = made.objective == "lp_infonce"
    objective = ContrastiveObjective(
        made.objective,
        output,
        made.batch_size,
        made.temperature,
        p=made.loss_p if lp else None,
        scheme=made.scheme,
    )
    return contrastive_report(world, objective)


def measure(arms: Sequence[Arm], results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`; scores of g(z) itself are called identity."""
    measured = {}
    for arm in arms:
        if arm.name in results:
            final = {name: results[arm.name].final(name) for name in results[arm.name].evaluation}
            measured |= {f"{arm.name}: {name}": values for name, values in final.items()}
            measured[f"{arm.name}: R2 above identity"] = final["R2"] - final["identity R2"]
            measured[f"{arm.name}: collapsed loss"] = results[arm.name].train["loss"][:, 0]
            measured[f"{arm.name}: linear R2"] = final["R2"]
    return measured


def figures(arms: Sequence[Arm], results: Mapping[str, Results], score: str) -> Sequence[Figure]:
    """`score` of every cell beside that of the observations themselves."""
    rows = [arm.name for arm in arms if arm.name in results]
    names = {f"{number}": row for number, row in enumerate(rows, 1)}
    series = {
        label: {number: results[row].final(quantity) for number, row in names.items()}
        for label, quantity in (("trained", score), ("identity", f"identity {score}"))
    }
    picture = bars(series, score, title=f"{score} of every cell", ylim=(0.0, 1.02))
    listed = "; ".join(f"{number} {row}" for number, row in names.items())
    caption = f"{score} after training, and of the observations themselves. Cells: {listed}."
    return [Figure(caption, figure_png(picture))]
