"""Graphs of three binary variables by causal de Finetti, beside predictors that look at no data.

Guo et al., "Causal de Finetti", NeurIPS 2023, whose multivariate study this is; all parameters vary. A data set is one
trial: a random graph, E environments of two samples each, G-tests. In the published data labels are a topological
order, which the method does not use and a predictor may: the trivial ones are scored with that order known to them and
with labels in random order.

    python -m experiments run iem/multivariate --preset quick
"""

import dataclasses

import jax
import jax.numpy as jnp

from experiments.iem import multivariate_claims as claims
from identax.causal import GraphDecision, causal_de_finetti
from identax.dgp import binary_graph, random_dag
from identax.experiment import RunConfig
from identax.metrics import normalised_shd
from identax.rng import permutation, stream

TRACED = ("level",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Data sets of one number of environments; seeds are data sets, their graphs are the same in every arm."""

    num_environments: int = 2000
    environments: tuple[int, ...] = (2000, 4000, 6000, 8000, 10000)
    """an arm each; `num_environments` is not read"""
    d: int = 3
    level: float = 0.05
    num_seeds: int = 100


PRESETS: dict[str, Config] = {
    "smoke": Config(environments=(50, 100), num_seeds=4),
    "quick": Config(num_seeds=400),
    "medium": Config(num_seeds=1000),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def _decided(observations, level):
    """By either of `claims.RULES`, in one program."""

    def by_rule(likeliest):
        return causal_de_finetti(observations, method="g", levels=2, level=level, stuck=likeliest)

    both = jax.vmap(by_rule)(jnp.array([False, True]))
    return [GraphDecision(*leaves) for leaves in zip(*both, strict=True)]


def build(config: Config):
    """One data set: distances of what the tests and what trivial predictors say from its graph."""
    d = config.d

    def trial(key, hparams):
        drawn = binary_graph(stream(key, "data"), config.num_environments, d=d, leak_order=True)
        found, complete = {}, jnp.triu(jnp.ones((d, d), bool), 1)
        for stuck, decision in zip(claims.RULES, _decided(drawn.observations, hparams["level"]), strict=True):
            right = decision.adjacency == drawn.adjacency
            found[stuck] = normalised_shd(decision.adjacency, drawn.adjacency)
            found[f"{stuck}, right"] = right.all().astype(float)
            found["settled"] = decision.settled.astype(float)
        labels = permutation(stream(key, "labels"), d)
        renamed = drawn.adjacency[labels][:, labels]
        for order, true in (("known", drawn.adjacency), ("random", renamed)):
            guess = random_dag(stream(key, f"guess, {order}"), d, ordered=order == "known")
            predictors = {"complete": complete, "guess": guess, "both ways": complete | complete.T}
            for name, predicted in (predictors | {"empty": jnp.zeros((d, d), bool)}).items():
                found[f"{name}, order {order}"] = normalised_shd(predicted, true)
        return found

    return trial
