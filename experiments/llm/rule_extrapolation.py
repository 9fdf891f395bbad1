"""Models with one loss on all strings complete prompts off the support differently: the loss does not decide it.

Reizinger et al., "Position: Understanding LLMs Requires More Than Statistical Generalization", ICML 2024, case study 1.
Transformers learn the strings a^n b^n; prompts that break "a's before b's" are completed, and one asks whether the
completion still has as many a's as b's (rule 1). Three ways to train: on the strings alone (maximum likelihood), with
such prompts completed by the rule beside them (oracle), and with completions that always break it (adversarial).
The language is finite and all of it is trained on: what records call test loss has no string that is held out.

    python -m experiments run llm/rule_extrapolation --preset quick
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.llm import rule_extrapolation_claims as claims
from experiments.llm import rule_extrapolation_figures as drawing
from experiments.llm.published_transformer import completions, network, warmed_adamw
from experiments.llm.shared_claims import LOSS, learned_language
from identax.dgp.languages import Language, adversarial_rows, oracle_rows, shares
from identax.experiment import RunConfig
from identax.losses import completion_nll, sequence_nll, shifted
from identax.rng import stream
from identax.study import Best, Study, gradient_study

TRACED = ("learning_rate", "overshoot")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One way to train. The defaults are the published setting, with positions where they belong."""

    completed: bool = False
    """set by `arms`: whether prompts with completions are trained on beside the strings"""
    overshoot: bool = False
    """set by `arms`: whether these break rule 1 by one symbol. A traced number, so that the two modes that have
    them share their programs, which take longer to compile than the quick preset to run"""
    as_published: bool = False
    """also as the published program has it: codes of positions by row of the batch, completions from their second token
    on, completions that go on behind their end; three arms more"""
    language: str = "a^n b^n"
    """what is learned: one of `LANGUAGES` whose strings are listed and whose rule 1 is equal counts"""
    max_length: int = 256
    """M, of strings"""
    prompt_length: int = 8
    """L: all strings of so many symbols are prompts"""
    num_tokens: int = 300
    """of a completion"""
    width: int = 10
    """d, of a token's vector"""
    heads: int = 5
    """of attention; they divide the width"""
    layers: int = 5
    """blocks of attention and feed-forward layer"""
    hidden: int = 1024
    """units of a feed-forward layer"""
    dropout: float = 0.1
    """share of units that a step of training leaves out"""
    chunk: int | None = 16
    """strings that go through a block at once, computed again backwards; None: all"""
    published: bool = False
    """set by `arms`; see `as_published`"""
    learning_rate: float = 2e-3
    """of AdamW: it rises to this over `warmup` steps, then falls as one over the root of their number"""
    warmup: int = 1000
    """steps until the rate is at its largest"""
    weight_decay: float = 0.01
    """of AdamW, times the rate"""
    num_steps: int = 50_000
    log_every: int = 100
    evaluate_every: int = 100
    checkpoint_every: int = 1000
    num_seeds: int = 50


_QUICK = Config(
    max_length=32,
    prompt_length=6,
    num_tokens=38,
    width=8,
    heads=4,
    layers=3,
    hidden=64,
    chunk=None,
    learning_rate=5e-3,
    warmup=200,
    num_steps=2000,
    log_every=50,
    evaluate_every=250,
    checkpoint_every=1000,
    num_seeds=5,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, max_length=8, prompt_length=3, num_tokens=6, layers=1, hidden=8, warmup=2, num_steps=4, log_every=2,
        evaluate_every=2, checkpoint_every=4, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, max_length=64, prompt_length=8, num_tokens=80, width=10, heads=5, layers=5, hidden=128,
        learning_rate=3e-3, warmup=500, num_steps=4000, evaluate_every=500, num_seeds=3,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """Strings, completed prompts, network, both losses, and completions of all prompts."""
    strings = learned_language(config)
    rows = jnp.asarray(strings.strings())
    prompts = strings.prompts(config.prompt_length)
    ood_prompts = prompts.out_of_distribution()
    by_overshoot = _completed_prompts(strings, ood_prompts)
    encoding = "batch_index" if config.published else "position"
    model = network(config, strings.alphabet, encoding=encoding)
    prompt_sets = {"OOD": ood_prompts, "ID": prompts.in_distribution(), "SOS": ood_prompts[:1, :1]}

    def init(key, hparams):
        variables = model.init(stream(key, "network"), rows)
        chosen = jnp.asarray(hparams["overshoot"], int)
        return jax.tree.map(lambda both: both[chosen], by_overshoot), variables["params"], {}

    def sample(state, key):
        return jax.random.permutation(key, rows)

    def loss(params, state, batch, key):
        inputs, targets = shifted(rows if batch is None else batch)
        logits, _ = model.apply({"params": params}, inputs, train=True, key=stream(key, "strings"))
        on_strings, metrics = sequence_nll(logits, targets), {}
        if not config.completed:
            return on_strings, ({}, metrics)
        inputs, targets = shifted(state.truth["rows"])
        logits, _ = model.apply({"params": params}, inputs, train=True, key=stream(key, "completions"))
        on_completions = completion_nll(
            logits, targets, config.prompt_length, mask=state.truth["counted"], published=config.published
        ).mean()
        # The mean over strings of a sum is the sum of both means.
        return on_strings + on_completions, ({}, {"loss on completions": on_completions})

    def evaluate(state, key):
        variables = {"params": state.params}
        inputs, targets = shifted(rows)  # all strings, those that are trained on
        logits, _ = model.apply(variables, inputs)
        metrics = {LOSS: sequence_nll(logits, targets).mean()}
        metrics["accuracy"] = (logits.argmax(axis=-1) == targets).mean()
        scores = completions(config, strings, model, variables, prompt_sets, published=config.published)
        for name, own in scores.items():
            metrics |= {f"{name} {what}": value for what, value in shares(own).items()}
        return metrics

    return gradient_study(
        init=init,
        # The order says nothing to a model of positions; by row of the batch it is noise, as published.
        sample=sample if config.published else None,
        loss=loss,
        optimizer=lambda hparams: warmed_adamw(config, hparams),
        evaluate=evaluate,
        best=Best(LOSS),
    )


def _completed_prompts(strings: Language, ood_prompts: Any) -> dict[str, Any]:
    """Completed prompts off the support, of the oracle and of the adversary: `rows` [2, P, T], padded to one width,
    and which targets [2, P, T - 1] are `counted`: those of its own width."""
    made = [make(strings.alphabet, ood_prompts) for make in (oracle_rows, adversarial_rows)]
    widest = max(rows.shape[1] for rows in made)
    padded = [
        np.pad(rows, ((0, 0), (0, widest - rows.shape[1])), constant_values=strings.alphabet.pad) for rows in made
    ]
    counted = [np.broadcast_to(np.arange(1, widest) < rows.shape[1], (len(rows), widest - 1)) for rows in made]
    return {"rows": jnp.asarray(np.stack(padded)), "counted": jnp.asarray(np.stack(counted))}
