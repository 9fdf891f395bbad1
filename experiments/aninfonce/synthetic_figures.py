"""Figures of `aninfonce/synthetic`: recovery over training, learned precisions, style against temperature."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.aninfonce.synthetic_claims import THEORY, arms, theory_of
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves, spectrum
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Content and style over training, the precision over training and at the end, style against temperature."""
    drawn = []
    own = {arm.name: arm for arm in arms(config) if arm.name in results and arm.name != THEORY}
    for name, arm in own.items():
        result = results[name]
        mask = result.where(temperature=arm.config.temperature)
        curves = {block: result.evaluation[f"{block} R2"][mask] for block in ("content", "style")}
        picture = learning_curves(result.evaluation_steps, curves, "linear R²", title=name, ylim=(-0.02, 1.02))
        drawn.append(Figure(f"{name}: recovery of content and style; {_describe(arm.config)}.", figure_png(picture)))
        if "precision" in result.evaluation:
            drawn += _precision_figures(name, arm.config, results)
    sweeps = {name: results[name] for name, arm in own.items() if len(arm.sweep.get("temperature", ())) > 1}
    return [*drawn, *_temperature_figures(sweeps, results)]


def _precision_figures(name: str, config: Any, results: Mapping[str, Results]) -> list[Figure]:
    result = results[name]
    found = result.evaluation["precision"]
    levels = {f"truth {level:g}": level for level in sorted({config.low, config.high})}
    curves = (
        {f"rank {config.dim - i}": found[:, :, i] for i in range(config.dim)}
        if config.dim <= 6
        else {"largest": found[:, :, -1], "smallest": found[:, :, 0]}
    )
    over_time = learning_curves(result.evaluation_steps, curves, "learned precision", title=name, references=levels)
    drawn = [Figure(f"{name}: learned precision over training.", figure_png(over_time))]
    true, oracle = (theory_of(name, quantity, results) for quantity in ("truth", "precision"))
    if true is not None and oracle is not None:
        end = spectrum(np.sort(true), found[:, -1], oracle, title=name)
        caption = f"{name}: learned precision at the end, against truth and the perfect encoder's."
        drawn.append(Figure(caption, figure_png(end)))
    return drawn


def _temperature_figures(sweeps: Mapping[str, Results], results: Mapping[str, Results]) -> list[Figure]:
    drawn = []
    for name, result in sweeps.items():
        series: dict[str, dict[str, np.ndarray]] = {"content": {}, "style": {}}
        for temperature in sorted(set(np.asarray(result.trials.hparams["temperature"]).tolist())):
            mask = result.where(temperature=temperature)
            for block, found in series.items():
                found[f"τ={temperature:.3g}"] = result.final(f"{block} R2")[mask]
        threshold = theory_of(name, "collapse threshold", results)
        caption = f"{name}: InfoNCE by temperature."
        if threshold is not None:
            caption += (
                f" Weak-similarity theory predicts style lost for 1/τ below {threshold:.2f};"
                " it is an expansion in 1/τ and says nothing reliable above about 2."
            )
        drawn.append(Figure(caption, figure_png(bars(series, "linear R²", title=name, ylim=(0.0, 1.02)))))
    return drawn


def _describe(config: Any) -> str:
    law = f"precision {config.spectrum} {config.high:g}/{config.low:g}, n={config.dim}, N={config.batch_size}"
    return law if config.objective == "aninfonce" else f"{law}, temperature {config.temperature:g}"
