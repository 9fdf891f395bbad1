"""From results to one value per seed at every precision, and the figures that all sweeps over gamma^2 share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from identax.experiment import Arm
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves, scatter_latents
from identax.report.grids import over_parameter
from identax.run import Results

METRICS = (
    "-ELBO", "KL", "log likelihood", "MCC", "MCC, sampled batches", "c_IMA", "c_IMA of mean Jacobians", "MSE of x",
    "variance", "log10 variance", "log10 variance over predicted", "sd of log10 variance over predicted", "dead dims",
    "importance-weighted -ELBO", "decoder precision", "Amari distance", "conformal contrast", "MIG", "SAP",
)  # fmt: skip
"""scalars of the evaluations of `vae_study` and `synthetic_study`, the last six where they are asked for"""


def at_precision(precision: float) -> str:
    """How quantities at one precision are named."""
    return f"gamma^2 {precision:.3g}".replace("e+0", "e")


def row(arm: str, precision: float, name: str) -> str:
    """How one quantity of an arm at one precision is named."""
    return f"{arm}, {at_precision(precision)}: {name}"


def published(table: Mapping[float, Mapping[str, float]], config: Any) -> dict[str, dict[float, float]]:
    """metric -> precision -> value of a paper's table by precision, at the precisions that the config sweeps."""
    names = next(iter(table.values()))
    return {name: {p: row[name] for p, row in table.items() if p in config.precisions} for name in names}


def chosen(result: Results, mask: np.ndarray, name: str) -> np.ndarray:
    """A metric [T] at each trial's evaluation of smallest -ELBO: the published choice, which sees no truth."""
    scores, values = result.evaluation["-ELBO"][mask], result.evaluation[name][mask]
    best = np.argmin(np.where(np.isfinite(scores), scores, np.inf), axis=1)
    found = np.take_along_axis(values, best[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(scores).any(axis=1) & (result.failed_at[mask] == 0), found, np.nan)


def by_precision(
    arms: Sequence[Arm], results: Mapping[str, Results], names: Sequence[str] = METRICS
) -> dict[str, dict[str, dict[float, np.ndarray]]]:
    """arm -> metric -> precision -> one value per seed, chosen as `chosen` does."""
    found: dict[str, dict[str, dict[float, np.ndarray]]] = {}
    for at, result, mask in cells(arms, results):
        of_arm = found.setdefault(at["arm"], {name: {} for name in names if name in result.evaluation})
        for name, values in of_arm.items():
            values[float(at["precision"])] = chosen(result, mask, name)
    return found


def measured(arms: Sequence[Arm], results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed as "<arm>, gamma^2 <value>: <metric>"."""
    return {
        row(arm, precision, name): values
        for arm, of_arm in by_precision(arms, results).items()
        for name, of_metric in of_arm.items()
        for precision, values in of_metric.items()
    }


def sweep_figure(
    found: Mapping[str, Mapping[str, Mapping[float, np.ndarray]]],
    name: str,
    caption: str,
    *,
    references: Mapping[str, Mapping[float, float]] | None = None,
    log_y: bool = False,
    ylim: tuple[float, float] | None = None,
) -> list[Figure]:
    """One metric of every arm over gamma^2, with the numbers of others beside it; nothing where no arm has it."""
    series = {arm: of_arm[name] for arm, of_arm in found.items() if of_arm.get(name)}
    if not series:
        return []
    picture = over_parameter(series, "decoder precision γ²", name, references=references, log_y=log_y, ylim=ylim)
    return [Figure(caption, figure_png(picture))]


def training_figures(arms: Sequence[Arm], results: Mapping[str, Results]) -> list[Figure]:
    """MCC over training at every precision, and what one trial recovered at the largest."""
    drawn = []
    for arm in arms:
        if arm.name not in results or not results[arm.name].num_steps:
            continue
        result = results[arm.name]
        curves, last = {}, None
        for at, _, mask in cells([arm], results):
            curves[f"γ² = {at['precision']:g}"] = result.evaluation["MCC"][mask]
            last = at["precision"], int(np.flatnonzero(mask)[0])
        picture = learning_curves(
            result.evaluation_steps, curves, "MCC of posterior means", title=arm.name, ylim=(-0.02, 1.02)
        )
        drawn.append(Figure(f"{arm.name}: recovery over training.", figure_png(picture)))
        if last is not None:
            latents, codes = (result.kept(name)[last[1]] for name in ("latents", "codes"))
            caption = f"{arm.name}: true latents against posterior means of one trial, γ² = {last[0]:g}."
            drawn.append(Figure(caption, figure_png(scatter_latents(latents, codes))))
    return drawn


def final_bars(rows: Iterable[tuple[str, str, Results, np.ndarray]], by: str) -> list[Figure]:
    """MCC and c_IMA at the end of training: bars of (group, label, results, trials), and what they are `by`."""
    rows, drawn = list(rows), []
    for name, limits in (("MCC", (-0.02, 1.02)), ("c_IMA", None)):
        series: dict[str, dict[str, np.ndarray]] = {}
        for group, label, result, mask in rows:
            series.setdefault(group, {})[label] = result.final(name)[mask]
        if series:
            caption = f"{name} at the end of training, by {by}; a dot is a seed."
            drawn.append(Figure(caption, figure_png(bars(series, name, ylim=limits))))
    return drawn
