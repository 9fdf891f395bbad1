"""A small call of every public metric, on samples of the host with or without an offset that takes float32's digits."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax import metrics

OFFSET = 1.7e9
KEY = jax.random.key(3)


class Samples(NamedTuple):
    """Latents z, estimates x that know some of them, as many of them as latents y, levels, and what else is needed."""

    z: Any
    x: Any
    y: Any
    levels: Any
    labels: Any
    square: Any
    probabilities: Any
    response: Any
    precision: Any
    scores: Any


@functools.cache
def samples(seed: int, offset: float = 0.0) -> Samples:
    rng = np.random.default_rng(seed)
    levels = np.stack([rng.permutation(np.repeat(np.arange(3), 20)) for _ in range(2)], axis=1)
    z = np.round(levels + 0.3 * rng.normal(size=(60, 2)), 3)
    x = np.round(np.concatenate([z, z[:, :1] + rng.normal(size=(60, 1))], axis=1) @ rng.normal(size=(3, 3)), 3)
    response = rng.normal(size=(5, 2, 2)) + 1j * rng.normal(size=(5, 2, 2))
    precision = rng.permutation(np.array([3.0, 7.0, 11.0]))
    return Samples(
        3600 * z + offset,
        60 * x + offset,
        60 * x[:, :2] + offset,
        levels,
        levels[:, 0] % 2 * np.ones(60, int),
        rng.normal(size=(3, 3)),
        rng.uniform(size=(3, 3)),
        response,
        precision + offset,
        np.round(rng.normal(size=(4, 9)) + 0.4, 3) + offset,
    )


def _represent(key, factors):
    return factors + 0.1 * jax.random.normal(key, factors.shape)


def _draw(key, num):
    return jax.random.randint(key, (num, 2), 0, 4)


_SIZES = {"num_train": 32, "num_eval": 16, "group_size": 4}
_HALF = slice(0, 40)

# Free of the offset of what they are given.
SHIFTED = {
    "batch_mcc": lambda s: metrics.batch_mcc(KEY, s.z, s.y, 20, num_batches=3),
    "block_r2": lambda s: metrics.block_r2(s.x, s.z, [[0], [True, False]], **_precisions(s)),
    "dci": lambda s: metrics.dci(s.z, s.x, **_test(s)),
    "epoch_mcc": lambda s: metrics.epoch_mcc(s.z, s.y, 25),
    "explicitness": lambda s: metrics.explicitness(
        s.levels[_HALF], s.x[_HALF], test_factors=s.levels[40:], test_estimates=s.x[40:]
    ),
    "fast_ica": lambda s: metrics.fast_ica(s.x, num_components=2, max_steps=3, contrast="exp").sources,
    "head_r2": lambda s: metrics.head_r2(s.x, s.z[:7]),
    "infomec": lambda s: metrics.infomec(s.z, s.x, estimator="histogram"),
    "ica_mcc": lambda s: metrics.ica_mcc(s.z, s.y, statistic="none"),
    "linear_r2": lambda s: metrics.linear_r2(s.x, s.z, split="half"),
    "linear_readout_accuracy": lambda s: metrics.linear_readout_accuracy(
        s.x[_HALF], s.labels[_HALF], 2, test_features=s.x[40:], test_labels=s.labels[40:]
    ),
    "mcc": lambda s: metrics.mcc(s.z, s.y, method="spearman"),
    "mig": lambda s: metrics.mig(s.z, s.x),
    "modularity": lambda s: metrics.modularity(s.z, s.x),
    "one_sample_t_test": lambda s: metrics.one_sample_t_test(s.scores, float(s.scores[0][0]) + 0.25),
    "padded_mcc": lambda s: metrics.padded_mcc(KEY, s.z, s.x),
    "probability_of_improvement": lambda s: metrics.probability_of_improvement(s.scores, s.scores[1:]),
    "rank_matched_mcc": lambda s: metrics.rank_matched_mcc(s.z, s.x, s.precision, s.precision[:2]),
    "sap": lambda s: metrics.sap(s.z, s.x),
    "standard_error": lambda s: metrics.standard_error(s.scores),
    "varsortability": lambda s: metrics.varsortability(s.x, np.asarray(s.square) > 0),
    "within_mcc": lambda s: metrics.within_mcc(_environments(s.z), _environments(s.y)),
    "weight_entropy": lambda s: metrics.weight_entropy(s.x, correct_bias=True),
    "cumulative_entropy": lambda s: metrics.cumulative_entropy({"a": s.x, "b": s.y}),
    "z_score": lambda s: metrics.z_score(s.x[:9], reference=s.x),
}
# Not free of it: digits that float32 would lose are refused.
REFUSED = {
    "compiled_pearson_readout": lambda s: metrics.compiled_pearson_readout(s.x, s.z, s.x, s.z),
    "dormant_share": lambda s: metrics.dormant_share(s.x, threshold=0.5),
    "area_under_curve": lambda s: metrics.area_under_curve(range(9), s.scores),
    "best_average": lambda s: metrics.best_average(s.scores, span=3),
    "effective_rank": lambda s: metrics.effective_rank(s.x),
    "exponential_average": lambda s: metrics.exponential_average(s.scores, span=3),
    "grid_coverage": lambda s: metrics.grid_coverage(s.x),
    "interquartile_mean": lambda s: metrics.interquartile_mean(s.scores),
    "logistic_regression": lambda s: metrics.logistic_regression(s.x, s.labels),
    "numerical_rank": lambda s: metrics.numerical_rank(s.x),
    "optimality_gap": lambda s: metrics.optimality_gap(s.scores),
    "precision_recovery": lambda s: metrics.precision_recovery(s.precision, s.precision[:2], assignment=[0, 1]),
    "relative_scores": lambda s: metrics.relative_scores(np.abs(s.scores)),
    "singular_value_error": lambda s: metrics.singular_value_error(s.x, s.z),
    "stable_rank": lambda s: metrics.stable_rank(s.x),
}
# Without samples that could have an offset, or of the host alone and in float64 throughout, or with three axes.
OTHERS = {
    "BalancedSplit": lambda s: metrics.BalancedSplit(jnp.arange(3), jnp.arange(2)),
    "FastICA": lambda s: metrics.FastICA(jnp.ones(3), jnp.eye(3), jnp.eye(3), 3, 0.1),
    "LogisticFit": lambda s: metrics.LogisticFit(jnp.ones(3), jnp.zeros(())).predict(s.x),
    "amari_distance": lambda s: metrics.amari_distance(s.square),
    "balanced_sizes": lambda s: metrics.balanced_sizes(s.labels),
    "balanced_split": lambda s: metrics.balanced_split(KEY, s.labels),
    "beta_vae_score": lambda s: metrics.beta_vae_score(KEY, _represent, _draw, **_SIZES),
    "bonferroni": lambda s: metrics.bonferroni(s.probabilities),
    "c_ima": lambda s: metrics.c_ima(s.square),
    "chance_mcc": lambda s: metrics.chance_mcc(KEY, 2, 8, num_draws=4),
    "column_norms": lambda s: metrics.column_norms(s.square),
    "conformal_contrast": lambda s: metrics.conformal_contrast(s.square, side="columns"),
    "dci_scores": lambda s: metrics.dci_scores(s.probabilities),
    "dead_dims": lambda s: metrics.dead_dims(s.probabilities, threshold=0.5),
    "duality_scores": lambda s: tuple(
        metrics.duality_scores(_environments(s.z), _environments(s.z), _environments(s.y), statistic="absolute")
    ),
    "factor_vae_score": lambda s: metrics.factor_vae_score(KEY, _represent, _draw, **_SIZES, num_variance=16),
    "frequency_grid": lambda s: metrics.frequency_grid(7),
    "mean_jacobian_c_ima": lambda s: metrics.mean_jacobian_c_ima(_three(s.square), batch_size=2),
    "normalised_shd": lambda s: metrics.normalised_shd(_graph(s), _graph(s).T),
    "pearson_readout": lambda s: metrics.pearson_readout(s.x, s.z),
    "polar_distance": lambda s: metrics.polar_distance(s.square),
    "relative_error": lambda s: metrics.relative_error(s.square, s.square[::-1]),
    "DualityScores": lambda s: metrics.DualityScores(1.0, 1.0, 1.0, 1.0, 1.0),
    "self_consistency": lambda s: metrics.self_consistency(s.probabilities, s.probabilities[::-1], s.z, s.y),
    "structural_hamming_distance": lambda s: metrics.structural_hamming_distance(_graph(s).tolist(), _graph(s).T),
    "stratified_bootstrap": lambda s: metrics.stratified_bootstrap(
        KEY, metrics.interquartile_mean, s.scores, num_draws=8
    ),
    "weight_distance": lambda s: metrics.weight_distance([s.square, s.scores], [s.square[::-1], s.scores]),
    "weight_magnitude": lambda s: metrics.weight_magnitude([s.square, s.scores], matrices_only=True),
    "weight_norm": lambda s: metrics.weight_norm({"w": s.square}),
    "transfer_function_error": lambda s: metrics.transfer_function_error(s.response, s.response[::-1]),
}
CALLS = {**SHIFTED, **REFUSED, **OTHERS}


def _environments(samples):
    return [samples[:20], samples[20:40], samples[40:]]


def _graph(samples):
    return np.triu(np.asarray(samples.square) > 0, 1)


def _three(square):
    return np.asarray(square)[None] + np.arange(3)[:, None, None]


def _precisions(s):
    return {"estimated_precision": s.precision, "true_precision": s.precision[:2]}


def _test(s):
    return {"test_factors": s.z[:30], "test_estimates": s.x[:30]}
