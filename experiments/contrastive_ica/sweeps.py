"""How linear recovery on a sphere depends on dimension, on the positives' concentration and on the marginal's.

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021, Fig. 2: R2 as the marginal
departs from uniform, here a von Mises-Fisher law of growing kappa around e_1. Positives are von Mises-Fisher, the model
is a sphere with the dot product at temperature 1. The paper's other sweeps are ours in values and settings.

    python -m experiments run contrastive_ica/sweeps --preset quick
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from experiments.contrastive_ica import cells, matrix
from experiments.contrastive_ica.presets import SHARED
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.style import canvas, legend, series_style
from identax.run import Results

TRACED = matrix.TRACED
build = matrix.build


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(matrix.Config):
    """The settings of the tables, and what is swept; the point that all sweeps share is (`sphere_dim`, `kappa`, 0)."""

    kappa: float = 10.0
    """of the positives where it is not swept"""
    dims: tuple[int, ...] = (5, 20, 40)
    """beside `sphere_dim`; each is a program of its own"""
    concentrations: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    """kappa of the positives under a uniform marginal"""
    marginals: tuple[float, ...] = (0.0, 3.0, 10.0, 30.0)
    """kappa of the marginal, 0 uniform; as many as `concentrations`, so that both sweeps are one program"""


_COMMON = {field.name for field in dataclasses.fields(matrix.Config)}


def _preset(name: str, **changes) -> Config:
    return Config(**{**dataclasses.asdict(SHARED[name]), **changes})


PRESETS: dict[str, Config] = {
    "smoke": _preset("smoke", dims=(3,), concentrations=(10.0, 30.0), marginals=(0.0, 30.0)),
    "quick": _preset("quick", hidden=(64, 64), dims=(3, 6), num_steps=2500, num_long_steps=4000, checkpoint_every=5000),
    "medium": _preset("medium", dims=(4, 10, 16)),
    "paper": _preset("paper"),
}

_SWEPT = {
    "concentration": ("conditional_scale", "kappa of the positives"),
    "marginal": ("marginal_scale", "kappa of the marginal (0: uniform)"),
}
"""sweep -> (traced field, axis label)"""

_UNIFORM = "near 1 (theory: the premises hold)"
_DEPARTED = "falls as the marginal departs from uniform (Fig. 2)"
REFERENCES = (
    Reference("marginal 0: R2", _UNIFORM, {"quick": (0.95, None)}),
    Reference(
        "marginal: R2 lost", _DEPARTED, {"quick": (0.02, None)}, "Uniform minus the most concentrated, per seed."
    ),
    Reference(
        "marginal: rank correlation of R2 with kappa",
        f"-1: {_DEPARTED}",
        {"quick": (None, -0.7)},
        "Spearman, per seed.",
    ),
    Reference("marginal: R2 above identity", "above 0, lowest of all kappa"),
    Reference("concentration: lowest R2", _UNIFORM, {"quick": (0.9, None)}, "Of all kappa of the positives."),
    Reference("concentration: R2 above identity", "above 0", {"quick": (0.02, None)}, "Lowest of all kappa."),
    Reference("dimension: lowest R2", _UNIFORM, {"quick": (0.9, None)}, "Of all dims."),
    Reference("dimension: R2 above identity", "above 0", {"quick": (0.02, None)}, "Lowest of all dims."),
)


def arms(config: Config) -> Sequence[Arm]:
    """Two swept arms of one program, and one arm per further dim.

    Raises `ValueError` for sweeps that share no point, or a dim that comes twice.
    """
    if 0 not in config.marginals or config.kappa not in config.concentrations:
        raise ValueError(
            f"contrastive_ica/sweeps: found marginals={config.marginals} and concentrations={config.concentrations},"
            f" wanted 0 among the first and kappa={config.kappa:g} among the second: the point they share"
        )
    if len({*config.dims, config.sphere_dim}) <= len(config.dims):
        raise ValueError(
            f"contrastive_ica/sweeps: found dims={config.dims} beside {config.sphere_dim}, wanted different ones"
        )
    base = _cell(config, config.sphere_dim)
    swept = [Arm(name, base, {field: getattr(config, f"{name}s")}) for name, (field, _) in _SWEPT.items()]
    return [*swept, *(Arm(f"dimension {dim}", _cell(config, dim)) for dim in config.dims)]


def _cell(config: Config, dim: int) -> matrix.Cell:
    common = {name: value for name, value in dataclasses.asdict(config).items() if name in _COMMON}
    if dim > config.sphere_dim:
        common["num_steps"] = config.num_long_steps
    made = cells.cell(matrix.Config(**{**common, "sphere_dim": dim}), "sphere", "vMF 10", "sphere")
    made = dataclasses.replace(made, conditional_scale=config.kappa, marginal="vmf", marginal_scale=0.0)
    matrix.check(made)
    return made


def premises(config: Config) -> Mapping[str, Report]:
    """Which theorem applies to each arm, and what it predicts; of the swept marginal, at its most concentrated."""
    shown = {"marginal": {"marginal_scale": max(config.marginals)}, "concentration": {}}
    at = [
        dataclasses.replace(arm, config=dataclasses.replace(arm.config, **shown.get(arm.name, {})))
        for arm in arms(config)
    ]
    return cells.premises(at)


Curve = dict[float, dict[str, Float[np.ndarray, " seeds"]]]
"""swept value -> R2, MCC and those of the observations themselves, one value per seed"""


def curves(config: Config, results: Mapping[str, Results]) -> dict[str, Curve]:
    """Final values of the sweeps that ran: "marginal", "concentration", "dimension"."""
    found: dict[str, Curve] = {}
    for at, final in points(arms(config), results):
        name = at["arm"] if at["arm"] in _SWEPT else "dimension"
        value = at[_SWEPT[name][0]] if name in _SWEPT else float(at["dim"])
        found.setdefault(name, {})[value] = final
    if "dimension" in found and 0.0 in found.get("marginal", {}):
        found["dimension"][float(config.sphere_dim)] = found["marginal"][0.0]
    return {name: dict(sorted(curve.items())) for name, curve in found.items()}


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed: of every point as `sweep value: quantity`, and of every sweep as `sweep: quantity`."""
    measured = {}
    for sweep, curve in curves(config, results).items():
        for value, point in curve.items():
            measured |= {f"{sweep} {value:g}: {name}": values for name, values in point.items()}
        r2, identity = (np.stack([point[name] for point in curve.values()]) for name in ("R2", "identity R2"))
        measured[f"{sweep}: lowest R2"] = r2.min(axis=0)
        measured[f"{sweep}: R2 above identity"] = (r2 - identity).min(axis=0)
        if sweep == "marginal" and len(curve) > 1:
            measured["marginal: R2 lost"] = r2[0] - r2[-1]
            measured["marginal: rank correlation of R2 with kappa"] = _rank_correlations(r2)
    return measured


def _rank_correlations(scores: Float[np.ndarray, "values seeds"]) -> Float[np.ndarray, " seeds"]:
    """Spearman correlation of every column with its row numbers; NaN where a score is not finite."""
    ranks = scores.argsort(axis=0).argsort(axis=0).astype(float)
    found = np.array([np.corrcoef(np.arange(len(ranks)), column)[0, 1] for column in ranks.T])
    return np.where(np.isfinite(scores).all(axis=0), found, np.nan)


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 over every swept quantity, after training and of the observations themselves."""
    labels = {name: label for name, (_, label) in _SWEPT.items()} | {"dimension": "dim of the sphere's space"}
    shown = []
    for sweep, curve in curves(config, results).items():
        caption = f"Linear R2 over {labels[sweep]}: mean and sample sd over seeds, dots are seeds."
        shown.append(Figure(caption, figure_png(_picture(sweep, labels[sweep], curve))))
    return shown


def _picture(sweep: str, label: str, curve: Curve):
    figure, axes = canvas((5.2, 3.6), f"R2 over {sweep}")
    places = np.arange(len(curve))
    for number, (name, shown) in enumerate((("R2", "trained"), ("identity R2", "identity"))):
        values = np.stack([point[name] for point in curve.values()])  # [values, seeds]
        color, _ = series_style(number)
        sd = values.std(axis=1, ddof=1) if values.shape[1] > 1 else None
        axes.errorbar(places, values.mean(axis=1), sd, color=color, lw=2, capsize=3, label=shown, zorder=3)
        axes.plot(places, values, "o", ms=3, color=color, alpha=0.5, zorder=2)
    axes.set_xticks(places, [f"{value:g}" for value in curve])
    axes.set(xlabel=label, ylabel="linear R2", ylim=(0.0, 1.02))
    legend(figure, axes)
    return figure
