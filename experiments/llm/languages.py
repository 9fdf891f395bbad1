"""Which architectures go on by a rule where a prompt has broken the other one? Six languages, five architectures.

Meszaros et al., "Rule Extrapolation in Language Models: A Study of Compositional Generalization on OOD Prompts",
NeurIPS 2024. Each language is where two rules hold; prompts break rule 2, and one asks whether the completed string
keeps rule 1, beside the chance level of blind completions. Languages over one alphabet share one program per
architecture, with all their seeds.

    python -m experiments run llm/languages --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from experiments.llm import languages_claims as claims
from experiments.llm import languages_figures as drawing
from experiments.llm.language_group import LanguageGroup, Rows, batch_of, language_group
from experiments.llm.published_transformer import warmed_adamw
from experiments.llm.sequence_networks import ARCHITECTURES, sequence_network
from identax.checks import check_count
from identax.experiment import RunConfig
from identax.losses import sequence_nll, shifted
from identax.models import SequenceModel, decode
from identax.rng import stream
from identax.study import Best, Study, gradient_study

TRACED = ("learning_rate", "place")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One architecture on languages of one alphabet. The defaults are the published setting."""

    languages: tuple[str, ...] = ("L1", "L2", "L3", "L4", "L5", "L6")
    """names of `LANGUAGES`; those over one alphabet share their programs"""
    architectures: tuple[str, ...] = ARCHITECTURES
    """names of `NETWORKS` (`sequence_networks.py`): each on every language"""
    architecture: str = "transformer"
    """set by `arms`"""
    place: int = 0
    """set by `arms`: swept, the language of a trial among those of its arm"""
    size: Literal["published", "small", "least"] = "published"
    """of the networks: `sequence_networks.py`"""
    linear_as_published: bool = False
    """the linear model as the published program has it: it sees its target and what follows, and padding has no loss"""
    max_length: int = 256
    """M, of strings"""
    prompt_length: int = 8
    """L, of two symbols: all strings of so many are prompts, or (L2) 128 of either kind"""
    prompt_length_of_three: int = 5
    """L, of any other number of symbols, as the three of L5"""
    prompt_length_of_brackets: int = 6
    """L, of the alphabet of L4 and L6: symbols of a prompt behind its first two"""
    random_prompts: int | None = None
    """of either kind, where prompts are drawn; None: as many as published, 128 of L2, 32 of L4 and L6"""
    num_tokens: int = 300
    """of a completion; of the linear model as many as there are columns"""
    sampled: bool = True
    """also complete by drawing tokens, not only by the likeliest"""
    mass_length: int = 8
    """also add up the probabilities of all strings of up to so many symbols, by the rules they keep; 0: do not"""
    num_train: int = 15_000
    """strings drawn for training, where a language does not list them all"""
    num_train_of_brackets: int = 512
    """the same, of L4 and L6"""
    num_test: int = 512
    """strings to select on, and as many to test on"""
    batch_size: int = 128
    """strings of a step; all of them where there are fewer"""
    chunk: int | None = 16
    """strings that go through a block at once, computed again backwards; None: all"""
    learning_rate: float = 2e-3
    """of AdamW: it rises to this over `warmup` steps, then falls as one over the root of their number"""
    warmup: int = 1000
    """steps until the rate is at its largest"""
    weight_decay: float = 0.01
    """of AdamW, times the rate"""
    num_steps: int = 50_000
    """published are as many epochs: one step each of L3 and L5, whose strings are one batch"""
    log_every: int = 100
    evaluate_every: int = 100
    checkpoint_every: int = 1000
    num_seeds: int = 15


_QUICK = Config(
    languages=("L1", "L2", "L3"),
    architectures=("transformer", "LSTM", "linear"),
    size="least",
    max_length=16,
    prompt_length=6,
    num_tokens=20,
    mass_length=6,
    num_train=512,
    num_test=128,
    batch_size=16,
    chunk=None,
    learning_rate=1e-2,
    warmup=100,
    num_steps=1500,
    log_every=50,
    evaluate_every=150,
    checkpoint_every=1500,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, languages=("L1", "L3"), architectures=("LSTM", "linear"), max_length=8, prompt_length=3, num_tokens=6,
        mass_length=3, num_train=32, num_test=16, batch_size=8, warmup=2, num_steps=4, log_every=2, evaluate_every=2,
        checkpoint_every=4, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, architectures=("LSTM", "xLSTM", "Mamba", "transformer", "linear"), size="small", max_length=24,
        num_tokens=30, num_train=2048, num_test=256, num_seeds=3,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """Strings drawn per seed, network, loss; completions of all prompts, and probabilities of short strings."""
    for field in ("num_train", "num_train_of_brackets", "num_test", "batch_size", "num_tokens"):
        check_count("llm/languages", field, getattr(config, field))
    length, num_train = claims.sizes(config, config.languages)
    group = language_group(
        config.languages,
        config.max_length,
        length,
        seed=config.seed,
        mass_length=config.mass_length,
        random_prompts=config.random_prompts,
    )
    model = network(config, group)
    pad = group.alphabet.pad if _published_linear(config) else None

    def init(key, hparams):
        nums = {"train": num_train, "validation": config.num_test, "test": config.num_test}
        sets = group.string_sets(hparams["place"], stream(key, "strings"), nums)
        return sets, model.init(stream(key, "network"), jnp.zeros((1, 1), jnp.int32))["params"], {}

    def sample(state, key):
        return batch_of(Rows(*state.truth["train"]), stream(state.key, "order"), state.step, config.batch_size)

    def loss(params, state, batch, key):
        tokens, counts = batch
        inputs, targets = shifted(tokens)
        logits, _ = model.apply({"params": params}, inputs, train=True, key=key)
        on_columns = sequence_nll(logits, targets, pad=pad, mean=False) * counts
        columns = jnp.ones_like(targets) if pad is None else targets != pad
        # The mean over rows is minimised: of these, only the columns that count.
        return on_columns * len(tokens) / (columns * counts[:, None]).sum(), ({}, {})

    def evaluate(state, key):
        variables, index = {"params": state.params}, state.hparams["place"]
        metrics = {
            f"{name} loss": mean_loss(model, variables, Rows(*state.truth[name])) for name in ("validation", "test")
        }
        completions = {"": completed(config, group, model, variables, index)}
        if config.sampled:
            key = stream(key, "sampled")
            completions[claims.SAMPLED] = completed(config, group, model, variables, index, key)
        metrics |= group.chance_scores(index) | group.completion_scores(index, completions)
        if group.short is not None:
            inputs, targets = shifted(group.short)
            logits, _ = model.apply(variables, inputs)
            log_probs = -sequence_nll(logits, targets, pad=group.alphabet.pad, mean=False)
            metrics |= group.rule_masses(index, log_probs)
        return metrics

    return gradient_study(
        init=init,
        sample=sample,
        loss=loss,
        optimizer=lambda hparams: warmed_adamw(config, hparams),
        evaluate=evaluate,
        best=Best("validation loss"),
    )


def network(config: Config, group: LanguageGroup) -> SequenceModel:
    """The network of an arm. The linear one has a column for the end of the longest string too, to complete it."""
    return sequence_network(
        config.architecture,
        config.size,
        group.alphabet,
        positions=group.columns,
        chunk=config.chunk,
        sees_future=_published_linear(config),
    )


def mean_loss(model: SequenceModel, variables: Any, rows: Rows) -> Any:
    """Nats per target, padding counted, over a set of strings."""
    inputs, targets = shifted(rows.tokens)
    logits, _ = model.apply(variables, inputs)
    counts = jnp.arange(len(rows.tokens)) < rows.count
    return jnp.where(counts, sequence_nll(logits, targets), 0).sum() / rows.count


def completed(
    config: Config, group: LanguageGroup, model: SequenceModel, variables: Any, index: Any, key: Any = None
) -> Any:
    """All prompts of a language [P, T], completed by the likeliest tokens, or with a key by drawn ones."""
    prompts, alphabet = group.prompts[index], group.alphabet
    room = config.num_tokens if model.positions is None else model.positions - prompts.shape[1]
    temperature = None if key is None else 1.0
    return decode(
        model, variables, prompts, num_tokens=min(config.num_tokens, room), pad=alphabet.pad, eos=alphabet.eos,
        temperature=temperature, key=key,
    ).tokens  # fmt: skip


def _published_linear(config: Config) -> bool:
    return config.architecture == "linear" and config.linear_as_published
