"""Heads, layers, learning rate and optimiser: do they decide the completions that the loss leaves open?

Meszaros, Ujvary, Brendel, Reizinger, Huszar, "Rule Extrapolation in Language Models: A Study of Compositional
Generalization on OOD Prompts", NeurIPS 2024, appendix. Transformers of several sizes learn a^n b^n (L3) by maximum
likelihood, at several rates, by AdamW and, at the smallest size, by SGD. Prompts that break "a's before b's" are
completed; is there still one b for each a? A size is a program of its own; rates and seeds are its trials. What records
call test loss is that on all strings, which are all trained on.

    python -m experiments run llm/scaling --preset quick
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import optax

from experiments.llm import scaling_claims as claims
from experiments.llm import scaling_figures as drawing
from experiments.llm.published_transformer import completions, network, warmed_adamw
from experiments.llm.shared_claims import LOSS, learned_language
from identax.dgp.languages import shares
from identax.experiment import RunConfig
from identax.losses import sequence_nll, shifted
from identax.rng import stream
from identax.study import Best, Study, gradient_study
from identax.transforms import inverse_square_root

TRACED = ("learning_rate",)
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One size with one optimiser. The defaults are the published grid, with positions where they belong."""

    grid_heads: tuple[int, ...] = (5, 10)
    """heads of attention, each with all `grid_layers`; SGD has the first"""
    grid_layers: tuple[int, ...] = (7, 10, 13)
    """numbers of blocks; SGD has the first"""
    rates: tuple[float, ...] = (2e-2, 2e-3, 2e-4)
    """of both optimisers, all trials of one program"""
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    """set by `arms`"""
    heads: int = 5
    """set by `arms`: see `grid_heads`"""
    layers: int = 7
    """set by `arms`: see `grid_layers`"""
    learning_rate: float = 2e-3
    """set by `arms`: swept, see `rates`"""
    language: str = "L3"
    """what is learned: one of `LANGUAGES` whose strings are listed and whose rule 1 is equal counts"""
    max_length: int = 256
    """M, of strings"""
    prompt_length: int = 8
    """L: all strings of so many symbols are prompts"""
    num_tokens: int = 247
    """of a completion"""
    width: int = 10
    """d, of a token's vector"""
    hidden: int = 1024
    """units of a feed-forward layer"""
    dropout: float = 0.1
    """share of units that a step of training leaves out"""
    chunk: int | None = 16
    """strings that go through a block at once, computed again backwards; None: all"""
    warmup: int = 1000
    """steps until the rate of either optimiser is at its largest; it then falls as one over the root of their number"""
    weight_decay: float = 0.01
    """of AdamW, times the rate"""
    num_steps: int = 50_000
    log_every: int = 100
    evaluate_every: int = 100
    checkpoint_every: int = 1000
    num_seeds: int = 10


_QUICK = Config(
    grid_layers=(1, 2),
    rates=(2e-2, 5e-3),
    max_length=32,
    prompt_length=6,
    num_tokens=48,
    hidden=32,
    chunk=None,
    warmup=100,
    num_steps=300,
    log_every=50,
    evaluate_every=150,
    checkpoint_every=300,
    num_seeds=2,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, grid_heads=(2,), max_length=8, prompt_length=3, num_tokens=6, width=4, hidden=8, warmup=2, num_steps=4,
        log_every=2, evaluate_every=2, checkpoint_every=4,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, grid_layers=(1, 3, 5), rates=(2e-2, 5e-3, 2e-3), hidden=64, num_tokens=64, warmup=200, num_steps=2000,
        evaluate_every=500, checkpoint_every=1000, num_seeds=3,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """Strings, a network of one size, its loss on them, and completions of all prompts off the support."""
    strings = learned_language(config)
    rows = jnp.asarray(strings.strings())
    prompts = strings.prompts(config.prompt_length)
    prompt_sets = {"OOD": prompts.out_of_distribution(), "ID": prompts.in_distribution()}
    model = network(config, strings.alphabet)

    def init(key, hparams):
        return {}, model.init(stream(key, "network"), rows)["params"], {}

    def per_row(params, **how):
        inputs, targets = shifted(rows)
        logits, _ = model.apply({"params": params}, inputs, **how)
        return sequence_nll(logits, targets)

    def loss(params, state, batch, key):
        return per_row(params, train=True, key=key), ({}, {})

    def evaluate(state, key):
        # All strings, those that are trained on.
        metrics = {LOSS: per_row(state.params).mean()}
        for name, own in completions(config, strings, model, {"params": state.params}, prompt_sets).items():
            metrics |= {f"{name} {what}": value for what, value in shares(own).items()}
        return metrics

    def optimizer(hparams):
        if config.optimizer == "SGD":
            return optax.sgd(inverse_square_root(hparams["learning_rate"], config.warmup))
        return warmed_adamw(config, hparams)

    return gradient_study(init=init, loss=loss, optimizer=optimizer, evaluate=evaluate, best=Best(LOSS))
