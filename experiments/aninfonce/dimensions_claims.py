"""What `aninfonce/dimensions` compares, and what it is held against: what fewer and extra dims do."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.assumptions import ContrastiveObjective, ContrastiveWorld, Report, contrastive_report
from identax.dgp import linear_precision
from identax.experiment import Arm, Reference
from identax.report import Figure, figure_png
from identax.report.figures import bars, learning_curves
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """AnInfoNCE with every embedding dim, with the most also on a subset of them; InfoNCE with the most."""
    most = dataclasses.replace(config, embedding_dim=max(config.embedding_dims))
    made = [Arm(f"aninfonce m={m}", dataclasses.replace(config, embedding_dim=m)) for m in config.embedding_dims]
    if config.with_subset and most.embedding_dim > config.dim:
        made.append(Arm(subset_name(config), dataclasses.replace(most, weighed_dims=config.dim)))
    return [*made, Arm(f"infonce m={most.embedding_dim}", dataclasses.replace(most, objective="infonce"))]


_EXPECTED = "expected of theory with m = n; the direction alone is known"
REFERENCES = (
    Reference("aninfonce m=9: R2", f"1 ({_EXPECTED})", {"quick": (0.95, None)}, "Three dims more than latents."),
    Reference(
        "aninfonce m=3: R2 of the kept half over the other",
        "above 0: the most stable latents are kept (derived)",
        {"quick": (0.3, None)},
        "Three latents of largest precision against three of smallest.",
    ),
    Reference("aninfonce m=9: unused precision over used", "below 1 (derived)", {"quick": (None, 1.0)}),
    Reference("aninfonce m=9, precision on 6: R2 of the weighed dims", "1 (derived)", {"quick": (0.95, None)}),
    Reference("aninfonce m=9 above infonce m=9: R2", "above 0 (direction)", {"quick": (0.0, None)}),
)


def subset_name(config: Any) -> str:
    """The arm in which as many embedding dims as there are latents have a precision."""
    return f"aninfonce m={max(config.embedding_dims)}, precision on {config.dim}"


def premises(config: Any) -> Mapping[str, Report]:
    """The theorem for m = n: what it asks for beside the dims."""
    return {arm.name: _report(arm.config) for arm in arms(config) if arm.config.embedding_dim == arm.config.dim}


def _report(config: Any) -> Report:
    precision = tuple(np.asarray(linear_precision(config.dim, config.low, config.high)).tolist())
    world = ContrastiveWorld("sphere", config.dim, precision=precision, exact=False)
    objective = ContrastiveObjective(config.objective, "sphere", config.batch_size, scheme=config.scheme)
    return contrastive_report(world, objective)


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`."""
    measured: dict[str, np.ndarray] = {}
    half = config.dim // 2
    for arm, result in results.items():
        by_latent = result.final("R2 per latent")
        measured |= {f"{arm}: {name}": result.final(name) for name in ("R2", "MCC", "effective dims")}
        measured[f"{arm}: linear R2"] = result.final("R2")
        measured[f"{arm}: collapsed loss"] = result.train["loss"][:, 0]
        gap = by_latent[:, -half:].mean(axis=1) - by_latent[:, :half].mean(axis=1)
        measured[f"{arm}: R2 of the kept half over the other"] = gap
        if "R2 of the weighed dims" in result.evaluation:
            measured[f"{arm}: R2 of the weighed dims"] = result.final("R2 of the weighed dims")
            continue
        precision = result.evaluation.get("precision by variance")
        if precision is not None and precision.shape[-1] > config.dim:
            last = precision[:, -1]
            measured[f"{arm}: unused precision over used"] = last[:, config.dim :].mean(1) / last[:, : config.dim].mean(
                1
            )
    largest = max(config.embedding_dims)
    ours, theirs = f"aninfonce m={largest}", f"infonce m={largest}"
    if ours in results and theirs in results:
        measured[f"{ours} above {theirs}: R2"] = measured[f"{ours}: R2"] - measured[f"{theirs}: R2"]
    return measured


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """R2 over training, and of every latent at the end."""
    steps = next(iter(results.values())).evaluation_steps
    curves = {arm: result.evaluation["R2"] for arm, result in results.items()}
    over_time = learning_curves(steps, curves, "linear R²", title="all latents", ylim=(-0.02, 1.02))
    levels = np.linspace(config.low, config.high, config.dim)
    final = {
        arm: {f"{level:.3g}": result.final("R2 per latent")[:, i] for i, level in enumerate(levels)}
        for arm, result in results.items()
    }
    by_latent = bars(final, "linear R²", title="latents by true precision", ylim=(0.0, 1.02))
    return [
        Figure("Linear R² of all latents over training, by embedding dim m.", figure_png(over_time)),
        Figure(
            "Linear R² of every latent at the end, by its true precision and the embedding dim.", figure_png(by_latent)
        ),
    ]
