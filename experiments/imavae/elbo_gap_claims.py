"""What `imavae/elbo_gap` compares, predicts and measures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.imavae import sweeps
from experiments.imavae.config import check_config
from identax.assumptions import Report, ima_report
from identax.dgp import monotone_rotation, triangular_mlp
from identax.experiment import Arm, Reference
from identax.losses import gaussian_prior
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

MAPS = ("triangular", "IMA class")
ENCODER = "{}, encoder"
AUTHORS = {
    "triangular": {
        1: 5.215, 1.5: 3.028, 2: 1.389, 2.5: 0.314, 3: -0.159, 3.5: -0.188, 4: -0.063, 4.5: 0.056, 5: 0.083,
    },
    "IMA class": {
        1: 0.1531, 1.5: 0.0292, 2: 0.0171, 2.5: 0.0021, 3: 0.0064, 3.5: 0.0037, 4: 0.0083, 4.5: 0.0108, 5: 0.0054,
    },
}  # fmt: skip
"""L_IMA - ELBO of the authors' encoders over log10 gamma^2 (their data file; means over 5 seeds, and one): other maps,
of log p = 14.851, C_IMA = 7.072 and log p = .392, C_IMA = 0"""
GAP, BELOW = "L_IMA - ELBO*", "below ELBO*"
RATE_FROM = {"triangular": (1e4,), "IMA class": (1e4, 1e1)}
"""precisions from which on the rate of the gap is measured"""


def arms(config: Any) -> Sequence[Arm]:
    """For each map the exact optima, and encoders trained for its decoder."""
    check_config(config)
    found = []
    for name in MAPS:
        exact = dataclasses.replace(config, mixing=name, trained=False, num_steps=0)
        late = config.late_precisions if name == "triangular" else config.late_precisions[:1]
        found.append(Arm(name, exact, {"precision": (*config.precisions, *late)}, fixed=("learning_rate",)))
        trained = dataclasses.replace(config, mixing=name, trained=True)
        found.append(Arm(ENCODER.format(name), trained, {"precision": config.encoder_precisions}))
    return found


def _rate(arm: str, first: float = 1e4) -> str:
    return f"{arm}: slope of log |gap| from {sweeps.at_precision(first)}"


_BOTH = ("quick", "medium")
REFERENCES = (
    *(
        Reference(
            sweeps.row(name, 1e5, GAP),
            f"{AUTHORS[name][5]} (data file; other map, with the error of an encoder network)",
            {preset: (-1e-3, 1e-3) for preset in _BOTH}, note="The limit, within 1e-3 nats.",
        )
        for name in MAPS
    ),
    Reference(
        _rate("triangular"), "-1 (derived)", {preset: (-1.01, -0.99) for preset in _BOTH},
        note="Five decades, to 1e9. Below 1e4 the gap changes its sign.",
    ),
    Reference(
        _rate("IMA class"), "-1 (derived)", {preset: (-1.05, -0.95) for preset in _BOTH}, note="To 1e6.",
    ),
    Reference(
        _rate("IMA class", 1e1), "-1 (derived)", {preset: (-1.15, -0.95) for preset in _BOTH},
        note="Five decades, to 1e6; the next order still counts at 1e1, by up to a factor of 3 over latents.",
    ),
    *(
        Reference(
            sweeps.row(ENCODER.format(name), precision, BELOW), "not known: the authors' optima are encoders",
            {preset: (0.0, 0.1) for preset in _BOTH}, note="An encoder network against the exact optimum.",
        )
        for name in MAPS
        for precision in (1e1, 1e2)
    ),
    *(
        Reference(sweeps.row(ENCODER.format(name), precision, BELOW), "not known")
        for name in MAPS
        for precision in (1e3, 1e4)
    ),
    *(
        Reference(sweeps.row(name, 10.0**decade, GAP), f"{gap:.3f} (data file; other map)")
        for name in MAPS
        for decade, gap in AUTHORS[name].items()
        if decade < 5
    ),
    *(Reference(f"{name}: C_IMA", paper) for name, paper in zip(MAPS, ("7.072 (other map)", "0"), strict=True)),
)  # fmt: skip


def true_map(config: Any) -> Callable[[Any], Any]:
    """The decoder of one arm: z [N, dim] -> x [N, dim]."""
    if config.mixing == "triangular":
        mixing = triangular_mlp(config.dim, off_diagonal=config.off_diagonal)
    else:
        mixing = monotone_rotation(config.dim)
    weights = mixing.init(jax.random.key(config.mixing_seed))
    return lambda z: mixing.apply(weights, z)


def premises(config: Any) -> dict[str, Any]:
    """Of every map: what the limit asks for, and where it is; made in float64."""
    return {arm.name: functools.partial(_report, arm) for arm in arms(config) if arm.name in MAPS}


def _report(arm: Arm) -> Report:
    with jax.enable_x64(True):
        z = jax.random.normal(jax.random.key(1), (256, arm.config.dim))
        options = {"prior": gaussian_prior(), "smooth": True, "optimise": False}
        return ima_report(true_map(arm.config), z, precision=arm.sweep["precision"], **options)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed: bounds and gaps at every precision, the rate at which the gap falls, and what encoders miss."""
    found, by_arm = {}, _by_precision(arms(config), results)
    for arm, values in by_arm.items():
        for precision, row in values.items():
            found |= {sweeps.row(arm, precision, quantity): value for quantity, value in row.items()}
    for name in [name for name in MAPS if name in by_arm]:
        gaps = {precision: row[GAP] for precision, row in by_arm[name].items()}
        row = by_arm[name][max(gaps)]  # any: latents are the same at all precisions
        found[f"{name}: C_IMA"] = row["log p"] - row["L_IMA"]
        for first in RATE_FROM[name]:
            late = sorted(precision for precision in gaps if precision > 0.9 * first)
            if len(late) > 1:
                sizes = np.log10(np.abs([gaps[precision] for precision in late]))
                found[_rate(name, first)] = np.polyfit(np.log10(late), sizes, 1)[0]
    return found


def _by_precision(own, results):
    """arm -> precision -> quantity -> [seeds]; how far an encoder is below the optimum where both were run."""
    found: dict[str, dict[float, dict[str, np.ndarray]]] = {}
    for at, row in points(own, results):
        found.setdefault(at["arm"], {})[float(at["precision"])] = dict(row)
    for name in MAPS:
        exact = found.get(name, {})
        for row in exact.values():
            row |= {GAP: row["L_IMA"] - row["ELBO*"], "log p - ELBO*": row["log p"] - row["ELBO*"]}
        for precision, row in found.get(ENCODER.format(name), {}).items():
            if precision in exact:
                row[BELOW] = exact[precision]["ELBO*"] - row["ELBO"]
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """ELBO* beside its limit over gamma^2, and the size of the gap beside 1 / gamma^2 and the authors' encoders."""
    found = _by_precision(arms(config), results)
    drawn = []
    for name in MAPS:
        if name not in found:
            continue
        values, trained = found[name], found.get(ENCODER.format(name), {})
        series = {"ELBO*, exact": {p: row["ELBO*"] for p, row in values.items()}}
        if trained:
            series["ELBO of an encoder"] = {p: row["ELBO"] for p, row in trained.items()}
        levels = {what: {p: float(np.mean(row[what])) for p, row in values.items()} for what in ("log p", "L_IMA")}
        caption = f"{name}: ELBO of the true decoder with its best encoder, over γ², beside its limit L_IMA and log p."
        picture = over_parameter(series, "decoder precision γ²", "nats", references=levels)
        drawn.append(Figure(caption, figure_png(picture)))
        series = {"ours, exact": {p: np.abs(row[GAP]) for p, row in values.items()}}
        last = max(values)
        size = float(np.mean(np.abs(values[last][GAP])))
        lines = {
            "1/γ²": {p: size * last / p for p in values},
            "authors' encoders, other map": {10.0**decade: abs(gap) for decade, gap in AUTHORS[name].items()},
        }
        picture = over_parameter(series, "decoder precision γ²", "|L_IMA - ELBO*|", references=lines, log_y=True)
        caption = f"{name}: distance of ELBO* from L_IMA. The authors' levels off at the error of their encoders."
        drawn.append(Figure(caption, figure_png(picture)))
    return drawn
