"""The transformer of case studies 1 and 3 and of the scaling study, its optimiser, and completions of its prompts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
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
    config: Any, strings: Language, model: SequenceModel, variables: Any, asked: Mapping[str, Any], *, published=False
) -> dict[str, Scores]:
    """Scores of greedy completions of sets of prompts [P, T], by name; as published they go on behind their end, and
    must not.

    All sets are one batch, so that one program decodes them; as published, where a row may have the code of its place
    in the batch, each is a batch of its own.
    """
    if published and len(asked) > 1:
        return {
            name: completions(config, strings, model, variables, {name: prompts}, published=True)[name]
            for name, prompts in asked.items()
        }
    alphabet = strings.alphabet
    width = max(prompts.shape[1] for prompts in asked.values())
    rows = [
        np.pad(prompts, ((0, 0), (0, width - prompts.shape[1])), constant_values=alphabet.pad)
        for prompts in asked.values()
    ]
    lengths = np.repeat([prompts.shape[1] for prompts in asked.values()], [len(prompts) for prompts in asked.values()])
    found = decode(
        model, variables, np.concatenate(rows), lengths, num_tokens=config.num_tokens, pad=alphabet.pad,
        eos=None if published else alphabet.eos,
    ).tokens  # fmt: skip
    reading = "whole row" if published else "until EOS"
    scores, first = {}, 0
    for name, prompts in asked.items():
        num, length = prompts.shape
        own = found[first : first + num, : length + config.num_tokens]
        scores[name] = score(strings, own, length - 1, reading=reading)
        first += num
    return scores
