"""A model within any epsilon of a mixture of hidden Markov models, in KL, that does not learn in context.

Reizinger et al., "Position: Understanding LLMs Requires More Than Statistical Generalization", ICML 2024, case study 2,
which argues and does not measure; on the worlds of Xie et al. 2022 (GINC). p is the mixture itself, so nothing is
trained: what is measured is the Bayes predictor. q has p's conditionals, but on documents that look like a prompt of
n0 examples or more it mixes in the least likely label with a weight; n0 is that of each world, the least that keeps q
within epsilon of p. Controls: weights 0 and .4, components held out.

    python -m experiments run llm/in_context --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.llm import in_context_claims as claims
from identax.assumptions import pattern_mass, rare_examples
from identax.dgp import in_context_prompts, predict, smoothed
from identax.experiment import RunConfig
from identax.rng import stream

TRACED = ("smoothing",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One kind of prompts; seeds are worlds. The defaults are GINC's sizes, with prompts of three symbols."""

    num_values: int = 10
    """values v of a state (v, s)"""
    num_slots: int = 10
    """slots s of it; slot 0 says the delimiter"""
    num_symbols: int = 50
    """that states say, the delimiter among them"""
    num_components: int = 10
    """hidden Markov models of a world"""
    num_within: int = 5
    """of these, whose mixture p is; the others are held out"""
    example_length: int = 3
    """k: symbols of an example, its label among them"""
    examples: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    """how many examples precede the question; a set of prompts each"""
    num_prompts: int = 2500
    """of each number of examples, in every world"""
    smoothing: float = 1e-3
    """share of every transition that is uniform, in p: without it most prompts are impossible"""
    weights: tuple[float, ...] = (0.0, 0.4, 0.9)
    """of the wrong label in q; 0 is p itself"""
    epsilon: float = 1e-3
    """nats per document that q may be away from p"""
    first: int | None = None
    """n0: from how many examples on q errs; None: in every world the least that keeps q within epsilon for the largest
    weight, but no more than the longest prompt has"""
    horizon: int = 256
    """up to how many examples q errs: with the longest prompts alone, the tail of a mass that falls slowly would be
    left out of the divergence"""
    prompts: Literal["within", "held out"] = "within"
    """of components that documents come from, or of others; set by `arms`, an arm each"""


_QUICK = Config(examples=(0, 1, 4, 16), num_prompts=250)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, num_values=3, num_slots=4, num_symbols=8, examples=(0, 1, 2), num_prompts=20, num_seeds=2
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_QUICK, examples=Config().examples, num_prompts=1000, num_seeds=10),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """One world: n0, accuracies of p and q for every number of examples, shares of impossible prompts, the bound."""
    claims.check(config)

    def trial(key, hparams):
        world = claims.world(config, stream(key, "world"))
        p = smoothed(world.within(), hparams["smoothing"])
        mass = pattern_mass(p, config.horizon, config.example_length)
        first = first_of(config, mass)
        metrics = {claims.FIRST: first}
        for n in config.examples:
            metrics |= _scores_of_prompts(config, world, p, stream(key, f"prompts {n}"), n, first)
        later = jnp.where(jnp.arange(1, len(mass) + 1) >= first, mass, 0.0).sum()
        for weight in config.weights:
            metrics[claims.bound(weight)] = -jnp.log1p(-weight) * later
            # The longest prompt is among them: n0 is no larger.
            rows = [jnp.where(n >= first, metrics[claims.accuracy(weight, n)], 0.0) for n in config.examples]
            metrics[claims.most(weight)] = jnp.stack(rows).max()
        return metrics

    return trial


def first_of(config: Config, mass: Any) -> Any:
    """n0 of a world with these masses of documents that look like 1, 2, ... examples."""
    if config.first is not None:
        return jnp.asarray(config.first)
    return jnp.minimum(rare_examples(mass, max(config.weights), config.epsilon), max(config.examples))


def _scores_of_prompts(config, world, p, key, n, first):
    """What one number of examples gives, where q errs from `first` on."""
    within = config.prompts == "within"
    prompts = in_context_prompts(
        world, key, config.num_prompts, num_examples=n, length=config.example_length, within=within
    )
    by_unsmoothed, by_p = predict(world.within(), prompts.tokens), predict(p, prompts.tokens)

    def accuracy(law):
        return jnp.mean(jnp.argmax(law, axis=1) == prompts.labels)

    metrics = {
        claims.with_examples("impossible prompts", n): jnp.mean(~by_unsmoothed.possible),
        claims.with_examples("nats per token", n): -by_p.log_likelihood.mean() / prompts.tokens.shape[1],
    }
    if within:
        own = jnp.take_along_axis(by_p.posterior, prompts.components[:, None], axis=1)
        metrics[claims.with_examples("posterior of the true component", n)] = own.mean()
    wrong = jax.nn.one_hot(jnp.argmin(by_p.next_token, axis=1), config.num_symbols)
    for weight in config.weights:
        used = jnp.where(n >= first, weight, 0.0)
        metrics[claims.accuracy(weight, n)] = accuracy((1 - used) * by_p.next_token + used * wrong)
    return metrics
