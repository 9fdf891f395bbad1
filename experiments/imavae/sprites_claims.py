"""What `imavae/sprites` compares, predicts and measures."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imavae import relations, sweeps
from experiments.imavae.config import check_config
from experiments.imavae.images import oblique_world, triangles
from experiments.imavae.published_factors import ALPHA, BETA, unit
from experiments.imavae.true_contrast import contrast_metrics, generator_jacobians, predicted_bound
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.report.grids import tiles
from identax.rng import stream
from identax.run import Results
from identax.run.program import compiler_options

ARM, ORACLE, DEPENDENT = "vae", "true generator", "vae, dependent factors"
OPPOSED = "Spearman of MCC and c_IMA over training"
NUM_ORACLE = 256
"""factors at which the true generator is differentiated"""


def arms(config: Any) -> Sequence[Arm]:
    """The true generator, one trial, where it is recorded; the autoencoder, and again on factors of a copula."""
    check_config(config)
    oracle = dataclasses.replace(config, oracle=True, num_seeds=1, num_steps=0)
    sweep = {"precision": config.precisions}
    return (
        *([Arm(ORACLE, oracle, sweep, fixed=("learning_rate", "beta"))] if config.record_truth else []),
        *(Arm(name, dataclasses.replace(config, correlation=rho), sweep) for name, rho in _correlations(config)),
    )


def _correlations(config: Any) -> list[tuple[str, float]]:
    return [(ARM, 0.0), *([(DEPENDENT, config.dependence)] if config.dependence else [])]


def _trained(config: Any) -> list[Arm]:
    return [arm for arm in arms(config) if arm.name != ORACLE]


def oracle(config: Any):
    """A trial that differentiates the true generator: contrast, and the bound of that generator as a decoder."""
    dgp = triangles(config.size)  # independent factors

    def trial(key, hparams):
        truth = dgp.init(key)
        factors = dgp.sample(truth, stream(key, "factors"), NUM_ORACLE).latents
        world = oblique_world(truth["oblique"], config.size)
        slopes = generator_jacobians(world, factors)
        limits = predicted_bound(slopes, unit(factors), jnp.asarray(ALPHA), jnp.asarray(BETA), hparams["precision"])
        return contrast_metrics(slopes) | limits

    return trial


def _published(precision: float, mcc: str, contrast: str, bound: str) -> tuple[Reference, ...]:
    found = {"MCC, sampled batches": mcc, "c_IMA of mean Jacobians": contrast, "-ELBO": bound}
    where = "(data file; 64 x 64, batch of 512 sampled latents)"
    return tuple(Reference(sweeps.row(ARM, precision, name), f"{value} {where}") for name, value in found.items())


REFERENCES = (
    *_published(0.1, ".058 +- .009, n = 5", "2.71", "25444"),
    *_published(1.0, ".9743 +- .0030, n = 10", ".0082 +- .0032", "11304"),
    *_published(10.0, ".869 +- .060, n = 10", ".0190 +- .0100", "-2835"),
    *_published(100.0, ".646 +- .050, n = 9", ".079 +- .026", "-16949"),
    *_published(1000.0, ".615, n = 1", ".154", "-30570"),
    Reference(
        sweeps.row(ORACLE, 1.0, "-ELBO"), "11304: mean of the published runs", note="Own derivation, leading order."
    ),
    Reference(sweeps.row(ORACLE, 1.0, "KL"), "8.85: published runs", note="Own derivation, leading order."),
    Reference(sweeps.row(ORACLE, 64.0, "c_IMA"), "not in the paper: the true generator's contrast was never measured"),
    *(Reference(sweeps.row(ORACLE, 64.0, name), "not in the paper") for name in ("-ELBO", "KL")),
    Reference(
        sweeps.row(ARM, 64.0, "MCC"), "no number at this size; at 64 x 64: .974 (data file)", {"medium": (0.9, None)},
        note="At the smallest -ELBO. gamma^2 grows during training, unlike the paper's: fixed at 64, .58 to .74. "
        "Settings were chosen on base seed 0; these seeds are of 1.",
    ),
    Reference(
        sweeps.row(ARM, 64.0, OPPOSED), "negative: MCC rises and c_IMA falls (figure)",
        {"quick": (None, 0.0), "medium": (None, 0.0)}, note="From the second evaluation on, local contrast.",
    ),
    *(
        Reference(sweeps.row(ARM, 64.0, name), "no number at this size; at 64 x 64: .974 and .008")
        for name in ("c_IMA", "c_IMA of mean Jacobians", "-ELBO", "KL", "coverage")
    ),
    *(
        Reference(sweeps.row(DEPENDENT, 64.0, name), "not in the paper (factors of a copula are in its code, no run)")
        for name in ("MCC", "c_IMA", "coverage")
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Any]:
    """What the theorem asks for, at factors of this world, and the bound of the true generator."""
    return {name: functools.partial(_report, config, rho) for name, rho in _correlations(config)}


def _report(config: Any, correlation: float) -> Report:
    contrast, predictions = _of_truth(config)
    held = [
        Premise("prior is the factors' law", True, "Beta, learned", "the ELBO's limit is a likelihood under the prior"),
        Premise(
            "independent mechanisms", contrast < 0.1, f"c_IMA of the true generator is {contrast:.3f} nats",
            "recovery of the factors rests on it",
        ),
        Premise(
            "independent factors", not correlation, f"correlation of the copula {correlation:g}", "the prior factorises"
        ),
    ]  # fmt: skip
    return Report(held, predictions)


@functools.cache
def _of_truth(config: Any) -> tuple[float, list[Prediction]]:
    """The true generator's contrast and what follows from it, the same in all arms: factors that are independent."""
    predictions, contrast = [], 0.0
    made = jax.jit(oracle(config), compiler_options=compiler_options())  # called so little that compiling is its cost
    for precision in config.precisions:
        found = made(jax.random.key(0), {"precision": precision})
        contrast = float(found["c_IMA"])
        for name in ("-ELBO", "KL"):
            reason = "true generator, best normal posteriors, leading order in 1 / gamma^2"
            where = f"{name}, {sweeps.at_precision(precision)}"
            predictions.append(Prediction(where, float(found[name]), reason))
    predictions.append(Prediction("c_IMA of the true generator", contrast, "scale and hue share pixels, little else"))
    return contrast, predictions


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per seed and precision; the true generator's."""
    trained = _trained(config)
    found = sweeps.measured(trained, results)
    more = sweeps.by_precision(trained, results, ("coverage",))
    truth = [arm for arm in arms(config) if arm.name == ORACLE]
    for arm, of_arm in (more | sweeps.by_precision(truth, results, ("c_IMA", "-ELBO", "KL"))).items():
        for name, of_metric in of_arm.items():
            found |= {sweeps.row(arm, precision, name): values for precision, values in of_metric.items()}
    for at, result, mask in cells(trained, results):
        found[sweeps.row(at["arm"], float(at["precision"]), OPPOSED)] = opposed(result, mask)
    return found


def opposed(result: Results, mask: Any) -> np.ndarray:
    """Per trial: the rank correlation of MCC and local c_IMA over its evaluations, without the one before training."""
    pairs = zip(result.evaluation["MCC"][mask], result.evaluation["c_IMA"][mask], strict=True)
    return np.array([relations.rank_correlation(mcc[1:], contrast[1:]) for mcc, contrast in pairs])


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """MCC and contrast over training, both falling or rising together; pictures of one trial; sweeps over gamma^2."""
    shown, drawn = _trained(config), []
    for at, result, mask in cells(shown, results):
        if result.num_steps:
            drawn += together(result, mask, f"{at['arm']}, γ² = {at['precision']:g}")
    if len(config.precisions) > 1:
        found = sweeps.by_precision(shown, results)
        drawn += sweeps.sweep_figure(found, "MCC", "MCC of posterior means over γ².", ylim=(-0.02, 1.02))
        drawn += sweeps.sweep_figure(found, "c_IMA", "Mean local contrast of the decoder over γ².", log_y=True)
    return drawn + sweeps.training_figures(shown, results)


def together(result: Results, mask: Any, title: str) -> list[Figure]:
    """The decoder's contrasts over training beside MCC, of the trials in `mask`, then pictures of the first of them."""
    both = {name: result.evaluation[name][mask] for name in ("c_IMA", "c_IMA of mean Jacobians")}
    contrast = learning_curves(result.evaluation_steps, both, "contrast (nats)", title=title)
    drawn = [Figure("Contrast of the decoder over training, local and of batch-mean Jacobians.", figure_png(contrast))]
    mcc = {
        "posterior means": result.evaluation["MCC"][mask],
        "sampled": result.evaluation["MCC, sampled batches"][mask],
    }
    recovered = learning_curves(result.evaluation_steps, mcc, "MCC", title=title, ylim=(-0.02, 1.02))
    trial = int(np.flatnonzero(mask)[0])
    return [*drawn, Figure("MCC over training.", figure_png(recovered)), *pictures(result, trial)]


def pictures(result: Results, trial: int) -> list[Figure]:
    """Reconstructions and latent traversals of one trial, from what it kept."""
    kept = {name: np.asarray(result.kept(name)[trial]) for name in ("observations", "reconstructions", "traversals")}
    size = round((kept["observations"].shape[-1] / 3) ** 0.5)
    pairs = np.stack([kept["observations"], kept["reconstructions"]]).reshape(2, -1, size, size, 3)
    moved = kept["traversals"].reshape(*kept["traversals"].shape[:2], size, size, 3)
    names = [f"z{k + 1}" for k in range(len(moved))]
    return [
        Figure("Images above, their reconstructions below.", figure_png(tiles(pairs, rows=["x", "f(z)"]))),
        Figure(
            "Latent traversals: each row moves one latent, 2nd to 98th percentile.",
            figure_png(tiles(moved, rows=names)),
        ),
    ]
