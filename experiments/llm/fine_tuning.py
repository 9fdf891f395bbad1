"""Weights of one function fine-tune differently: what a loss is like says nothing about where descent goes from there.

Reizinger et al., "Position: Understanding LLMs Requires More Than Statistical Generalization", ICML 2024, case study 3.
A transformer learns a^n b^n. Its feed-forward layers are rescaled, (W1, b1, W2) -> (alpha W1, alpha b1, W2 / alpha):
the same function, for every alpha. Then all learn a^n b^n a^n, by SGD or by AdamW. Controls: alpha inside the
activation, phi(alpha x) / alpha, which is what the published program has and changes nothing; random weights.

    python -m experiments run llm/fine_tuning --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.llm import fine_tuning_claims as claims
from experiments.llm import fine_tuning_figures as drawing
from experiments.llm.published_transformer import network
from identax.assumptions import rescaled
from identax.experiment import RunConfig
from identax.losses import sequence_nll, shifted
from identax.rng import stream
from identax.study import Best, Study, gradient_study
from identax.transforms import inverse_square_root

TRACED = ("learning_rate", "alpha", "inside")
"""Numeric fields of `Config` that become traced hyper-parameters: every alpha is a trial of one program, and the
controls with it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One phase with one optimiser; steps are those of fine-tuning. The defaults are the published sizes."""

    phase: Literal["pre-training", "fine-tuning"] = "fine-tuning"
    """set by `arms`"""
    optimizer: Literal["SGD", "AdamW"] = "SGD"
    """set by `arms`"""
    by_row: bool = False
    """set by `arms`: codes of positions by row of the batch, as published"""
    as_published: bool = False
    """also with codes of positions by row of the batch, and as the published program fine-tunes; four arms more"""
    max_length: int = 256
    """M of the strings a^n b^n"""
    fine_length: int = 128
    """M of the strings a^n b^n a^n"""
    width: int = 8
    """d, of a token's vector"""
    heads: int = 4
    """of attention; they divide the width"""
    layers: int = 3
    """blocks of attention and feed-forward layer"""
    hidden: int = 1024
    """units of a feed-forward layer: those that alpha rescales"""
    epsilon: float = 6e-3
    """of the norms"""
    fine_epsilon: float = 1e-12
    """of the norms while fine-tuning as published, where it is 0, which this transformer does not take"""
    dropout: float = 0.1
    """share of units that a step of pre-training leaves out; none while fine-tuning"""
    chunk: int | None = 16
    """strings that go through a block at once, computed again backwards; None: all"""
    alphas: tuple[float, ...] = (1.0, 0.1, 10.0)
    """the first is what others are compared with"""
    activation_alphas: tuple[float, ...] = (1.0, 128.0, 16384.0)
    """powers of two near the published 1, 100, 1e4: a product with them has no rounding error"""
    alpha: float = 1.0
    """set by `arms`: swept, see `alphas`"""
    inside: bool = False
    """set by `arms`: alpha stands in the activation, as published; else in the weights, once"""
    learning_rate: float = 0.0
    """set by `arms`"""
    sgd_rate: float = 0.02
    """of fine-tuning by SGD"""
    adamw_rate: float = 2e-3
    """of fine-tuning by AdamW"""
    random_rate: float = 0.05
    """of SGD from random weights"""
    weight_decay: float = 0.01
    """of AdamW, times the rate"""
    pre_optimizer: Literal["SGD", "AdamW"] = "SGD"
    """of pre-training"""
    pre_rate: float = 2e-3
    """of pre-training: it rises to this over `warmup` steps, then falls as one over the root of their number"""
    warmup: int = 1000
    """steps of pre-training until its rate is at its largest; fine-tuning has a constant rate"""
    pre_steps: int = 35_000
    """of pre-training"""
    pre_every: int = 100
    """steps of pre-training between logged and evaluated ones"""
    num_steps: int = 5000
    log_every: int = 50
    evaluate_every: int = 50
    checkpoint_every: int = 5000
    num_seeds: int = 5


_SMALL = Config(
    max_length=32,
    fine_length=32,
    hidden=64,
    chunk=None,
    pre_optimizer="AdamW",
    pre_rate=5e-3,
    warmup=200,
    pre_steps=2000,
    pre_every=250,
    num_steps=200,
    log_every=1,
    evaluate_every=200,
    checkpoint_every=200,
    num_seeds=3,
)
_QUICK = dataclasses.replace(
    _SMALL, pre_steps=1000, pre_every=250, num_steps=100, evaluate_every=100, checkpoint_every=100, num_seeds=2
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, max_length=8, fine_length=9, layers=1, hidden=8, warmup=2, pre_steps=4, pre_every=2, num_steps=4,
        evaluate_every=4, checkpoint_every=4,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_SMALL, as_published=True),
    "paper": Config(as_published=True),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """Strings of both languages, the network, one loss; fine-tuning starts from rescaled weights."""
    first, second = claims.languages(config)
    rows = {claims.FIRST: jnp.asarray(first.strings()), claims.SECOND: jnp.asarray(second.strings())}
    tuned = config.phase == "fine-tuning"
    model = network(
        config,
        first.alphabet,
        dropout=0.0 if tuned else config.dropout,
        encoding="batch_index" if config.by_row else "position",
        epsilon=config.epsilon,
    )
    learned = rows[claims.SECOND if tuned else claims.FIRST]

    def init(key, hparams, *before):
        params = before[0].params if before else model.init(stream(key, "network"), learned)["params"]
        if tuned:
            params = scaled(params, jnp.where(hparams["inside"], 1.0, hparams["alpha"]))
        return {}, params, {}

    def sample(state, key):
        # The order says nothing to a model of positions; by row of the batch it is noise where it is drawn. While
        # fine-tuning it is fixed, so that nothing but the weights decides.
        return learned if tuned else jax.random.permutation(key, learned)

    def per_row(params, hparams, rows, **how):
        if tuned:  # phi(alpha x) / alpha in front of W2 are the rescaled weights, while those that descend stay
            params = scaled(params, jnp.where(hparams["inside"], hparams["alpha"], 1.0))
        inputs, targets = shifted(rows)
        logits, _ = model.apply({"params": params}, inputs, **how)
        return sequence_nll(logits, targets)

    def loss(params, state, batch, key):
        return per_row(params, state.hparams, batch, train=not tuned, key=key), ({}, {})

    def evaluate(state, key):
        seen = [claims.SECOND] if tuned else rows
        metrics = {f"loss on {name}": per_row(state.params, state.hparams, rows[name]).mean() for name in seen}
        return metrics | ({claims.DECREASE: state.opt_state[0]} if tuned else {})

    def optimizer(hparams):
        rate = hparams["learning_rate"]
        rate = rate if tuned else inverse_square_root(rate, config.warmup)
        how = optax.sgd(rate) if config.optimizer == "SGD" else optax.adamw(rate, weight_decay=config.weight_decay)
        return optax.chain(first_decreases(config.optimizer), how) if tuned else how

    best = None if tuned else Best(f"loss on {claims.FIRST}")
    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, best=best)


def scaled(params: Any, alpha: Any) -> Any:
    """Parameters of `network` with every feed-forward layer at the scale alpha: the same function."""
    blocks = params["blocks_0"]
    first, second = blocks["linear1"], blocks["linear2"]
    found = rescaled(first["kernel"], first["bias"], second["kernel"], alpha)
    own = {
        "linear1": {"kernel": found.first, "bias": found.bias},
        "linear2": {"kernel": found.second, "bias": second["bias"]},
    }
    return {**params, "blocks_0": {**blocks, **own}}


def first_decreases(optimizer: str) -> optax.GradientTransformation:
    """Changes nothing; its state is `decreases` of the first gradient that it sees."""

    def update(updates, state, params=None):
        return updates, jnp.where((state == 0).all(), decreases(updates, optimizer), state)

    return optax.GradientTransformation(lambda params: jnp.zeros(2), update)


def decreases(slopes: Any, optimizer: str) -> Any:
    """What the first step takes off the loss through (W1, b1) and through W2, to first order, per unit of rate; [2].

    SGD moves by the gradient g: |g|^2. The first step of Adam moves by its signs: the sum of |g|.
    """
    blocks = slopes["blocks_0"]
    size = jnp.square if optimizer == "SGD" else jnp.abs
    through_first = sum(size(leaf).sum() for leaf in jax.tree.leaves(blocks["linear1"]))
    return jnp.stack([jnp.asarray(through_first), size(blocks["linear2"]["kernel"]).sum()])
