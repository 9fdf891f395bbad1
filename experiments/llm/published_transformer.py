"""The transformer of case studies 1 and 3 and of the scaling study, its optimiser, and completions of its prompts."""

from typing import Any

import optax

from identax.checks import check_nonnegative
from identax.dgp.languages import Alphabet, Language, Scores, score
from identax.models import SequenceModel, decode, transformer
from identax.transforms import inverse_square_root


def network(config: Any, alphabet: Alphabet, **own: Any) -> SequenceModel:
    """A `transformer` of the sizes and the dropout of `config`, whose layers start alike; `own` arguments come last."""
    shared = {
        "width": config.width, "heads": config.heads, "layers": config.layers, "hidden": config.hidden,
        "dropout": config.dropout, "pad": alphabet.pad, "chunk": config.chunk,
    }  # fmt: skip
    return transformer(alphabet.size, **shared | own)


def warmed_adamw(config: Any, hparams: Any) -> optax.GradientTransformation:
    """AdamW whose rate rises over `config.warmup` steps and then falls as one over their square root, as published.

    Raises `ValueError` for a decay that is negative or not finite, and a warm-up of no steps.
    """
    check_nonnegative("llm", "weight_decay", config.weight_decay, ())
    rate = inverse_square_root(hparams["learning_rate"], config.warmup)
    return optax.adamw(rate, weight_decay=config.weight_decay)


def completions(
    config: Any, strings: Language, model: SequenceModel, variables: Any, prompts: Any, *, published: bool = False
) -> Scores:
    """Scores of greedy completions of prompts [P, T]; as published they go on behind their end, and must not."""
    alphabet = strings.alphabet
    eos = None if published else alphabet.eos
    found = decode(model, variables, prompts, num_tokens=config.num_tokens, pad=alphabet.pad, eos=eos)
    reading = "whole row" if published else "until EOS"
    return score(strings, found.tokens, prompts.shape[1] - 1, reading=reading)
