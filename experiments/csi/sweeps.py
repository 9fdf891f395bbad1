"""How far label noise, small batches, few clusters and wide or heavy-tailed clusters cost linear recovery.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025, Figs. 4 to 6. Their
values are known as trends only. `paper` has instance labels (DIET), for label noise both kinds; `medium` has class
labels, which train faster.

    python -m experiments run csi/sweeps --preset medium --arm "label noise"
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.csi import simulation, simulation_claims
from experiments.csi.noise_size import drawn_sizes, noise_sizes
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.style import canvas, legend, series_style
from identax.run import Results

TRACED = simulation.TRACED
NOISE_SIZES = "noise sizes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(simulation.Config):
    """The default setting, and what is swept. Values of sweeps over traced fields are one program."""

    noises: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """shares of labels that are replaced, from 0 to 1; with class labels"""
    instance_noise: bool = True
    """whether instance labels are made noisy too"""
    noise_batch_size: int = 1024
    noise_steps: int = 50_000
    batch_sizes: tuple[int, ...] = (128, 512, 1024, 4096)
    kappas: tuple[float, ...] = (5.0, 10.0, 50.0)
    """with every batch size"""
    clusters: tuple[int, ...] = (10, 100, 1000)
    dims: tuple[int, ...] = (5, 10, 20)
    """with every number of clusters"""
    wide_hidden: tuple[int, ...] = (10, 50, 50, 50, 50, 10)
    """widths in multiples of dim, for more dims than the default"""
    scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """of the generalised normal (with every power) and of the truncated Laplace (with every box)"""
    powers: tuple[float, ...] = (1.0, 1.5, 2.0)
    boxes: tuple[float, ...] = (1.0, 2.0, 3.0)
    """half-widths, at least 1"""
    of_noise: bool = False
    """of the arm that trains nothing, but draws how large the noise of the generalised normal clusters is"""


PRESETS: dict[str, Config] = {
    "smoke": simulation.preset(
        Config, "smoke", targets="class", noises=(0.0, 0.5, 1.0), instance_noise=False, noise_batch_size=32,
        noise_steps=20, batch_sizes=(16, 32), kappas=(10.0, 50.0), clusters=(4, 10), dims=(3,), wide_hidden=(4, 4),
        scales=(0.5, 1.0), powers=(1.0, 2.0), boxes=(1.0, 2.0),
    ),
    "medium": simulation.preset(
        Config, "quick", targets="class", noises=(0.0, 0.8, 1.0), instance_noise=False, noise_steps=6000,
        batch_sizes=(128, 1024), kappas=(10.0, 50.0), clusters=(10, 100), dims=(10, 20), wide_hidden=(5, 10, 10, 5),
        scales=(0.5, 2.0), powers=(1.0, 2.0), boxes=(1.0, 3.0), batch_size=512, num_steps=2000,
        evaluate_every=1000, num_seeds=3,
    ),
    "paper": simulation.preset(Config, "paper"),
}  # fmt: skip

# sweep -> swept field -> its word in names; "" where the name of the sweep says it
_AXES: Mapping[str, Mapping[str, str]] = {
    "label noise": {"label_noise": "share"},
    "label noise of instances": {"label_noise": "share"},
    "batch": {"batch_size": "", "kappa": "kappa"},
    "C": {"num_clusters": "", "dim": "d"},
    "generalised normal": {"shape": "p", "scale": "scale"},
    "truncated Laplace": {"shape": "box", "scale": "scale"},
}

_FLAT, _COLLAPSE = "nearly flat up to 0.8 (Fig. 6)", "collapsed at 1 (Fig. 6)"
_BATCH = ("R2", "loss above Bayes")
_FEW = "fails: affine rank 9 (Fig. 5)"
# Bands were written down before the first run; 0.05 is ours.
REFERENCES = (
    Reference("label noise: R2 lost up to 0.8", _FLAT, {"medium": (None, 0.05)}, "Largest share below 1, by seed."),
    Reference("label noise: R2 above observations at 1", _COLLAPSE, {"medium": (None, 0.0)}),
    Reference("label noise, share 0.8: head R2", "nearly 1 (Fig. 6, instances)"),
    Reference("label noise, share 1: head R2", _COLLAPSE, {"medium": (None, 0.2)}),
    Reference("batch: R2 gained at the highest kappa", "> 0 (Fig. 5)", {"medium": (0.0, None)}, "Largest - smallest."),
    Reference("batch: R2 lost at the highest kappa", "> 0 (Table 3)", {"medium": (0.0, None)}, "In the largest batch."),
    *(Reference(f"batch {n}, kappa {kappa}: {what}", "") for kappa in (10, 50) for n in (128, 1024) for what in _BATCH),
    *(Reference(f"C 10, d {d}: R2", _FEW, {"medium": (None, 0.9)}) for d in (10, 20)),
    *(Reference(f"C 10, d {d}: R2 below C 100", "> 0 (Fig. 5)", {"medium": (0.05, None)}) for d in (10, 20)),
    Reference("C 100, d 10: R2", "0.972 ± 0.01 (Table 3, 50,000 steps)"),
    Reference("C 100, d 20: R2", "0.821 ± 0.02 (Table 3, 50,000 steps)"),
    Reference("generalised normal: R2 lost with scale", "> 0 (Fig. 4)", {"medium": (0.0, None)}, "Mean over p."),
    Reference("generalised normal: head R2 above R2", "> 0 (Fig. 4)", {"medium": (0.0, None)}, "At the largest scale."),
    Reference("truncated Laplace: R2 lost with box", "> 0 (Fig. 5)", {"medium": (0.0, None)}, "Mean over scales."),
)


def arms(config: Config) -> Sequence[Arm]:
    """One arm per sweep over traced fields; batch sizes, and numbers of clusters and dims, are arms of their own.

    The last one draws the noise of generalised normal clusters.
    Raises `ValueError` for noises that lack 0 or 1, which all others are compared with.
    """
    if not {0.0, 1.0} <= set(config.noises):
        raise ValueError(f"csi/sweeps: found noises={config.noises}, wanted 0 and 1 among them")
    noise = dataclasses.replace(config, of_noise=True, num_seeds=1, num_steps=0)
    return [*(arm for own in _sweeps(config).values() for arm in own), Arm(NOISE_SIZES, noise, fixed=TRACED)]


def build(config: Config):
    """A study of `simulation`, or the sizes of the noise [scales, powers], from draws that no trial's key changes."""
    if not config.of_noise:
        return simulation.build(config)
    return lambda key, hparams: {"size": drawn_sizes(config.powers, config.scales, config.seed)}


def _sweeps(config: Config) -> dict[str, list[Arm]]:
    """Sweep -> its arms: those over a traced field are one, those over sizes one per size."""
    noisy = dataclasses.replace(
        config, targets="class", num_steps=config.noise_steps, batch_size=config.noise_batch_size
    )
    of_instances = dataclasses.replace(noisy, targets="instance")
    generalised, truncated = (
        dataclasses.replace(config, conditional=law) for law in ("generalized_normal", "truncated_laplace")
    )
    noises, kappas = {"label_noise": config.noises}, {"kappa": config.kappas}
    shapes = {"shape": config.powers, "scale": config.scales}, {"shape": config.boxes, "scale": config.scales}
    return {
        "label noise": [Arm("label noise", noisy, noises)],
        "label noise of instances": (
            [Arm("label noise of instances", of_instances, noises)] if config.instance_noise else []
        ),
        "batch": [
            Arm(f"batch {size}", dataclasses.replace(config, batch_size=size), kappas) for size in config.batch_sizes
        ],
        "C": [
            Arm(f"C {clusters}, d {dim}", _shaped(config, clusters, dim))
            for clusters in config.clusters
            for dim in config.dims
        ],
        "generalised normal": [Arm("generalised normal", generalised, shapes[0])],
        "truncated Laplace": [Arm("truncated Laplace", truncated, shapes[1])],
    }


def _shaped(config: Config, clusters: int, dim: int) -> Config:
    hidden = config.wide_hidden if dim > config.dim else config.hidden
    return dataclasses.replace(config, num_clusters=clusters, dim=dim, hidden=hidden)


def premises(config: Config) -> Mapping[str, Any]:
    """Per arm a function that says which theorem applies, and what it predicts; of a sweep at its last values."""
    return simulation_claims.reports([arm for arm in arms(config) if not arm.config.of_noise])


Point = dict[str, Float[np.ndarray, " seeds"]]
Curves = dict[str, dict[tuple[float, ...], Point]]
"""sweep -> values of its swept fields -> final value of every metric, one per seed"""


def curves(config: Config, results: Mapping[str, Results]) -> Curves:
    """The sweeps of which something ran."""
    found: Curves = {}
    for sweep, own in _sweeps(config).items():
        for at, final in points(own, results):
            found.setdefault(sweep, {})[tuple(at[field] for field in _AXES[sweep])] = final
    return found


def _label(sweep: str, values: tuple[float, ...]) -> str:
    """Swept values with their words, e.g. "128, kappa 10"."""
    return ", ".join(f"{word} {value:g}".strip() for word, value in zip(_AXES[sweep].values(), values, strict=True))


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed: of every point as `point: quantity`, and of every sweep as `sweep: quantity`."""
    found, measured = curves(config, results), {}
    for sweep, curve in found.items():
        joint = " " if "" in _AXES[sweep].values() else ", "
        for values, point in curve.items():
            name = f"{sweep}{joint}{_label(sweep, values)}"
            measured |= {f"{name}: {metric}": column for metric, column in point.items()}
    for sweep in ("label noise", "label noise of instances"):
        if sweep in found:
            least = max(value for value in config.noises if value < 1)
            none, most, all_ = (found[sweep][share,] for share in (0.0, least, 1.0))
            measured[f"{sweep}: R2 lost up to {least:g}"] = none["R2"] - most["R2"]
            measured[f"{sweep}: R2 above observations at 1"] = all_["R2"] - all_["R2 of observations"]
    measured |= _of_batches(config, found.get("batch", {}))
    by_size = found.get("C", {})
    for (few, dim), point in by_size.items():
        if few < 100 and (100, dim) in by_size:
            measured[f"C {few}, d {dim}: R2 below C 100"] = by_size[100, dim]["R2"] - point["R2"]
    return measured | _of_laws(config, found)


def _of_batches(config: Config, at: Mapping[tuple[float, ...], Point]) -> dict[str, np.ndarray]:
    highest, usual = max(config.kappas), min(config.kappas, key=lambda kappa: abs(kappa - config.kappa))
    small, large = min(config.batch_sizes), max(config.batch_sizes)
    found = {}
    if (large, highest) in at:
        best = at[large, highest]["R2"]
        found["batch: R2 lost at the highest kappa"] = at[large, usual]["R2"] - best
        if (small, highest) in at:
            found["batch: R2 gained at the highest kappa"] = best - at[small, highest]["R2"]
    return found


def _of_laws(config: Config, found: Curves) -> dict[str, np.ndarray]:
    def mean(curve, metric, shapes, scales):
        return np.mean([curve[shape, scale][metric] for shape in shapes for scale in scales], axis=0)

    measured = {}
    law = "generalised normal"
    if law in found:
        narrow, wide = ((config.powers, [end(config.scales)]) for end in (min, max))
        measured[f"{law}: R2 lost with scale"] = mean(found[law], "R2", *narrow) - mean(found[law], "R2", *wide)
        measured[f"{law}: head R2 above R2"] = mean(found[law], "head R2", *wide) - mean(found[law], "R2", *wide)
    law = "truncated Laplace"
    if law in found:
        small, large = (([end(config.boxes)], config.scales) for end in (min, max))
        measured[f"{law}: R2 lost with box"] = mean(found[law], "R2", *small) - mean(found[law], "R2", *large)
    return measured


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 of latents and cluster vectors at every point of every sweep, and the size of generalised normal noise."""
    drawn = []
    for sweep, curve in curves(config, results).items():
        caption = f"{sweep}: linear R2 of latents and of cluster vectors; mean and sample sd, dots are seeds."
        labelled = {_label(sweep, values): point for values, point in curve.items()}
        drawn.append(Figure(caption, figure_png(_picture(sweep, labelled))))
    if NOISE_SIZES in results:
        drawn.append(noise_sizes(config.powers, config.scales, results[NOISE_SIZES].final("size")[0]))
    return drawn


def _picture(sweep: str, chosen: Mapping[str, Point]):
    figure, axes = canvas((max(4.2, 0.55 * len(chosen) + 1.5), 3.8), sweep)
    places = np.arange(len(chosen))
    for number, metric in enumerate(("R2", "head R2")):
        values = np.stack([point[metric] for point in chosen.values()])  # [points, seeds]
        color, _ = series_style(number)
        sd = values.std(axis=1, ddof=1) if values.shape[1] > 1 else None
        axes.errorbar(places, values.mean(axis=1), sd, fmt="o", color=color, capsize=3, label=metric, zorder=3)
        axes.plot(places, values, "o", ms=3, color=color, alpha=0.5, zorder=2)
    axes.set_xticks(places, list(chosen), rotation=40, ha="right", fontsize=8)
    axes.set(ylabel="linear R2", ylim=(-0.1, 1.02))
    legend(figure, axes)
    return figure
