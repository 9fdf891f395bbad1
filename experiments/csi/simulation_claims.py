"""What `csi/simulation` compares, and what it is held against: the paper's numbers, the theory's predictions."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.csi.clusters import init_world, law, world
from identax.assumptions import (
    BayesLoss,
    ClusterWorld,
    CrossEntropyObjective,
    Report,
    affine_generator_rank,
    bayes_cross_entropy,
    cross_entropy_report,
    diversity_rank,
)
from identax.dgp import TruncatedLaplace, identity
from identax.experiment import Arm, Reference
from identax.run import Results
from identax.run.program import compiler_options
from identax.study import Trials


def arms(config: Any) -> Sequence[Arm]:
    """The default row with class labels (Table 3) and with instance labels (Table 2, free rows)."""
    supervised = dataclasses.replace(config, targets="class", num_steps=config.num_supervised_steps)
    return [Arm("supervised", supervised), Arm("diet", dataclasses.replace(config, targets="instance"))]


CLOSED_FORMS = ("vmf", "truncated_laplace")
"""conditionals whose density takes no integral"""

_TABLE2, _TABLE3 = "Table 2, n=5, 50,000 steps", "Table 3, n=5, 50,000 steps"
# Bands were written down before the first run.
REFERENCES = (
    Reference("supervised: R2", f"0.998 ± 0.000 ({_TABLE3})", {"quick": (0.97, None), "medium": (0.988, None)}),
    Reference(
        "supervised: training loss above Bayes",
        "0 (theory)",
        {"quick": (-0.05, 0.05)},
        "Mean over the last logged steps, less the smallest possible loss, about 2.279 for vMF 10, d=5, C=100.",
    ),
    Reference("supervised: loss above Bayes", "0 (theory)", {"quick": (None, 0.05)}, "On fresh data, same draws."),
    Reference("supervised: R2 of observations", "0.664, 0.690, 0.743 (authors' code, 3 seeds)"),
    Reference("diet: R2", f"0.990 ± 0.000 ({_TABLE2}, free rows)", {"quick": (0.95, None), "medium": (0.98, None)}),
    Reference(
        "diet: head R2", f"0.999 ± 0.000 ({_TABLE2}, free rows)", {"quick": (0.98, None), "medium": (0.989, None)}
    ),
    Reference(
        "diet: head R2, unseen clusters",
        "",
        note="The published split has the same clusters on both sides; here they are different ones.",
    ),
    Reference("diet: loss above Bayes", "0 (theory)", {}, "Smallest possible: about 2.279 + log(N/C) = 4.582."),
)


def premises(config: Any) -> Mapping[str, Callable[[], Report]]:
    """Per arm a function that says which theorem applies, and what it predicts."""
    return reports(arms(config))


def reports(arms: Sequence[Arm]) -> Mapping[str, Callable[[], Report]]:
    """Per arm what says which theorem applies and what it predicts; of a swept field at its last value."""
    last = {
        arm.name: dataclasses.replace(arm.config, **{name: values[-1] for name, values in arm.sweep.items()})
        for arm in arms
    }
    return {name: functools.partial(report, config) for name, config in last.items()}


class _World(NamedTuple):
    """What of a config the Bayes loss is compiled for; the law's parameters are traced."""

    dim: int
    num_clusters: int
    num_labels: int
    conditional: str
    marginal: str
    balanced: bool
    targets: str
    imbalance: float
    label_noise: float
    label_swaps: float


def report(config: Any) -> Report:
    """The premises on the very cluster vectors of the config's seeds, and their mean Bayes loss.

    Raises `ValueError` for parameters of the world outside their range.
    """
    parameters = {name: getattr(config, name) for name in ("kappa", "scale", "shape")}
    conditional = law(config, parameters)  # refuses what a compiled program could not
    keys = Trials.grid(config.num_seeds, seed=config.seed).keys
    judge = _bayes(_World(*(getattr(config, name) for name in _World._fields)))
    vectors, bayes = judge(keys, jax.random.split(jax.random.key(1), len(keys)), parameters)
    if isinstance(conditional, TruncatedLaplace):
        conditional.check_centers(vectors.reshape(-1, config.dim))
    known = ClusterWorld(
        config.dim,
        config.num_clusters,
        config.num_labels,
        kappa=config.kappa if config.conditional == "vmf" else None,
        conditional=config.conditional.replace("_", " "),
        affine_rank=min(affine_generator_rank(one) for one in vectors),
        diversity_rank=min(diversity_rank(one) for one in vectors),
        imbalance=0.0 if config.balanced else config.imbalance,
        label_noise=config.label_noise,
        label_swaps=config.label_swaps,
    )
    beta = None if config.learn_beta else config.beta
    objective = CrossEntropyObjective(config.targets, config.unit_features, config.unit_rows, beta)
    error = jnp.sqrt(jnp.square(bayes.standard_error).sum()) / len(keys)
    return cross_entropy_report(known, objective, bayes=BayesLoss(bayes.mean.mean(), error))


@functools.lru_cache(maxsize=64)
def _bayes(config: _World) -> Callable[..., tuple[Any, BayesLoss]]:
    """Keys of trials, keys of draws, parameters of the law -> cluster vectors and Bayes loss of every trial.

    Compiled once for all arms that differ in training or in the law's parameters alone.
    """
    dgp = world(config, identity())  # the theory speaks about latents

    def one(key, draws, parameters):
        hparams = {**parameters, "imbalance": config.imbalance}
        vectors = init_world(config, dgp, key, hparams)["vectors"]
        return vectors, bayes_cross_entropy(
            draws,
            vectors,
            law(config, parameters),
            num_labels=config.num_labels,
            targets=config.targets,
            label_noise=config.label_noise,
            label_swaps=config.label_swaps,
            imbalance=None if config.balanced else config.imbalance,
            num_samples=20_000 if config.conditional in CLOSED_FORMS else 2000,
        )

    return jax.jit(jax.vmap(one, (0, 0, None)), compiler_options=compiler_options())


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`."""
    return recovered(arms(config), results)


def recovered(arms: Sequence[Arm], results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """Last values of every metric and how far the loss is above the Bayes loss, per seed, as `arm: quantity`."""
    measured: dict[str, np.ndarray] = {}
    for arm in arms:
        if arm.name not in results:
            continue
        result = results[arm.name]
        final = {name: result.final(name) for name in result.evaluation}
        final["training loss"] = result.train["loss"][:, -1]
        # The mean over all evaluations, each on fresh draws: one of them has a sampling error of its own.
        final["training loss above Bayes"] = final["training loss"] - result.evaluation["Bayes loss"].mean(axis=1)
        measured |= {f"{arm.name}: {name}": values for name, values in final.items()}
    return measured
