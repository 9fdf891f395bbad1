"""Figures of `csi/simulation`: recovery, and the loss above the smallest possible, over training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi.simulation_claims import arms
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Recovery, and the loss above the smallest possible, over training."""
    drawn = []
    for arm in arms(config):
        if arm.name not in results:
            continue
        result = results[arm.name]
        curves = {"latents": result.evaluation["R2"], "head": result.evaluation["head R2"]}
        levels = {"observations": float(np.nanmean(result.final("R2 of observations")))}
        picture = learning_curves(
            result.evaluation_steps, curves, "linear R²", title=arm.name, references=levels, ylim=(-0.02, 1.02)
        )
        caption = f"{arm.name}: recovery of latents and cluster vectors; {_describe(arm.config)}."
        drawn.append(Figure(caption, figure_png(picture)))
        excess = {"on fresh data": result.evaluation["loss above Bayes"]}
        picture = learning_curves(
            result.evaluation_steps, excess, "loss above Bayes (nats)", title=arm.name, log_y=True
        )
        drawn.append(Figure(f"{arm.name}: how far the loss is from the smallest possible.", figure_png(picture)))
    return drawn


def _describe(config: Any) -> str:
    known = f"kappa={config.kappa:g}" if config.conditional == "vmf" else f"scale {config.scale:g}"
    return f"{config.conditional} {known}, d={config.dim}, C={config.num_clusters}, N={config.num_labels}"
