"""Time-contrastive learning recovers sources that change, and fixed sources under a mixing that changes.

Reizinger et al., "Identifiable Exchangeable Mechanisms for Causal Structure and Representation Learning", ICLR 2025:
the duality of time-contrastive learning (Hyvarinen and Morioka 2016), which the paper proves and does not measure.
K segments of T points; a maxout network learns to tell the segments; its features, after FastICA, are compared with
|s|. Negative controls: segments that do not differ, that differ in one number only, that differ by a rotation.

    python -m experiments run iem/tcl_duality --preset quick
"""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.iem import tcl_duality_claims as claims
from identax.dgp import conditioned_invertible_mlp, modulated_sources, with_weights
from identax.experiment import RunConfig
from identax.losses import generalized_contrastive, half_squared_weights, label_scores, time_contrastive
from identax.metrics import duality_scores, fast_ica, mcc
from identax.metrics.duality import pointwise
from identax.models import maxout
from identax.numerics import pca_whitening
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("learning_rate", "decay", "world")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the simulation of the TCL code, with its optimiser replaced by Adam."""

    dim: int = 20
    num_segments: int = 256
    segment_length: int = 512
    num_layers: int = 5
    """of the mixing; 1 is linear"""
    hidden: tuple[int, ...] = (40, 40, 40, 40)
    """maxout units before the `dim` features"""
    world: int = 0
    """what changes between segments: a row of `tcl_duality_claims.WORLDS`"""
    family: Literal["laplace", "gaussian"] = "laplace"
    objective: Literal["segments", "pairs"] = "segments"
    """which segment a point is of, or (GCL) whether a point and a segment belong together"""
    batch_size: int = 512
    learning_rate: float = 1e-2
    drop: float = 0.71
    """share of the steps after which the rate is a tenth"""
    head_share: float = 0.1
    """share of the steps, before all others, in which the head alone learns"""
    decay: float = 1e-4
    """weight of half the squared weights"""
    average: float = 0.999
    """of the running mean of the parameters, which is what is evaluated"""
    restarts: int = 1
    """networks that are trained side by side in a trial; the one of smallest loss on all points is evaluated"""
    linear_steps: int = 100_000
    """of the arm with a linear mixing"""
    linear_restarts: int = 5
    """of the same: a network of |affine| alone often ends with two units for one source"""
    num_steps: int = 700_000
    log_every: int = 1000
    evaluate_every: int = 70_000
    checkpoint_every: int = 10_000


_QUICK = Config(
    dim=3,
    num_segments=40,
    num_layers=2,
    hidden=(32,),
    linear_steps=2000,
    num_steps=2200,
    log_every=200,
    evaluate_every=2200,
    checkpoint_every=2200,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK,
        num_segments=8,
        segment_length=32,
        batch_size=32,
        linear_steps=10,
        num_steps=10,
        log_every=5,
        evaluate_every=10,
        checkpoint_every=10,
        num_seeds=2,
    ),
    "quick": _QUICK,
    # The setting of the earlier run that rows are compared with; quick has half of its steps.
    "medium": dataclasses.replace(_QUICK, num_seeds=10, num_steps=4400, evaluate_every=4400),
    "paper": Config(),
}

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """Draws the segments once per trial, trains on batches of all points, compares features with both readings."""
    model = maxout((*config.hidden[: config.num_layers - 1], config.dim), output=claims.STATISTIC[config.family])
    head_steps = round(config.head_share * config.num_steps)
    labels = jnp.repeat(jnp.arange(config.num_segments), config.segment_length)
    in_pairs = config.objective == "pairs"
    # What all segments have in common of the density, which a softmax over segments does without.
    shared = maxout((*(config.hidden[:1] or (config.dim,)), 1), output="none")

    def init(key, hparams):
        drawn = draw(config, key, hparams["world"])

        def start(key):
            head = jax.random.truncated_normal(stream(key, "head"), -2, 2, (config.num_segments, config.dim))
            found = {
                "net": model.init(stream(key, "network"), drawn["x"][:1])["params"],
                "head": head * (2 / config.dim) ** 0.5,
                "bias": jnp.zeros(config.num_segments),
            }
            if in_pairs:
                found["shared"] = shared.init(stream(key, "shared"), drawn["x"][:1])["params"]
            return found

        params = jax.vmap(start)(jax.random.split(stream(key, "start"), config.restarts))
        return drawn, params, params

    def sample(state, key):
        rows = jax.random.randint(key, (config.batch_size,), 0, len(labels))
        return state.truth["x"][rows], labels[rows]

    def features(params, x):
        return model.apply({"params": params["net"]}, x)[0]

    def losses(params, x, told, key, decay):
        h, head, bias = features(params, x), params["head"], params["bias"]
        if in_pairs:
            common = shared.apply({"params": params["shared"]}, x)[0][:, 0]
            pairs = (told, jax.random.permutation(key, told))
            per_example = generalized_contrastive(*(common + label_scores(h, head, bias, each) for each in pairs))
        else:
            per_example = time_contrastive(h, head, bias, told)
        return per_example + decay * half_squared_weights(params)

    def loss(params, state, batch, key):
        learns = state.step >= head_steps
        net = jax.tree.map(lambda leaf: jnp.where(learns, leaf, jax.lax.stop_gradient(leaf)), params["net"])
        x, told = batch
        each = jax.vmap(lambda one: losses(one, x, told, key, state.hparams["decay"]))({**params, "net": net})
        share = jnp.minimum(config.average, (1 + state.step) / (10 + state.step))
        mean = jax.tree.map(
            lambda old, new: share * old + (1 - share) * jax.lax.stop_gradient(new), state.model_state, state.params
        )
        return each.mean(axis=0), (mean, {})

    def optimizer(hparams):
        late = head_steps + round(config.drop * (config.num_steps - head_steps))
        return optax.adam(lambda step: hparams["learning_rate"] * jnp.where(jnp.asarray(step) < late, 1.0, 0.1))

    def evaluate(state, key):
        x = state.truth["x"]
        decay, permuted = state.hparams["decay"], stream(key, "permutation")
        final = jax.vmap(lambda one: losses(one, x, labels, permuted, decay).mean())(state.model_state)
        best = jax.tree.map(lambda leaf: leaf[jnp.argmin(final)], state.model_state)
        found = features(best, x)
        logits = found @ best["head"].T + best["bias"][None, :]
        accuracy = jnp.mean(jnp.argmax(logits, axis=1) == labels)
        return {"accuracy": accuracy, **_scores(config, state.truth, found, stream(key, "ica"))}

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def draw(config: Config, key: Any, world: Any) -> dict[str, Any]:
    """The whitened points `x` [K T, n], and `base` and `modulated` latents [K, T, n]; `world` may be traced."""
    key = stream(key, "world")
    mixing = conditioned_invertible_mlp(config.dim, num_layers=config.num_layers)
    mixing = with_weights(mixing, mixing.init(stream(key, "mixing")))  # the same in all worlds: drawn once

    sizes = config.dim, config.num_segments, config.segment_length

    def drawn_as(named):
        drawn = modulated_sources(key, mixing, *sizes, family=config.family, **named)
        return {"x": drawn.observations, "base": drawn.base, "modulated": drawn.modulated}

    drawn = jax.lax.switch(world, [partial(drawn_as, named) for named in claims.WORLDS.values()])
    x = drawn["x"].reshape(-1, config.dim)
    x = x - x.mean(axis=0, keepdims=True)
    return {**drawn, "x": x @ pca_whitening(x, config.dim)[0].T}


def _scores(config, truth, found, key):
    """MCC of q(s), raw and after FastICA, of the duality, and of FastICA without a network."""
    statistic = claims.STATISTIC[config.family]
    q = pointwise(truth["modulated"].reshape(found.shape), statistic)
    separated = fast_ica(found, key=key).sources
    dual = duality_scores(
        truth["modulated"], truth["base"], separated.reshape(truth["base"].shape), statistic=statistic
    )
    linear = fast_ica(truth["x"], key=key).sources
    raw = mcc(q, found)
    return {
        # That of `ica_mcc`, without another FastICA: features of too small a rank are matched as they are.
        "MCC": jnp.where(jnp.isnan(dual.modulated), raw, dual.modulated),
        "MCC, raw features": raw,
        "MCC, linear FastICA": mcc(q, pointwise(linear, statistic)),
        "MCC with base": dual.base,
        "MCC with base, within segments": dual.within_mean,
        "MCC with base, within segments, median": dual.within_median,
        "MCC with base, rank-normalised": dual.rank_normalised,
    }
