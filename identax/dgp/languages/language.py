"""A formal language: alphabet, two rules, a law of strings, prompts of both kinds, scores of completions."""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from identax.checks import check_between, check_choice, check_count, check_nonnegative
from identax.dgp.languages.alphabet import Alphabet
from identax.dgp.languages.generators import Generator
from identax.dgp.languages.prompts import PromptLaw, Prompts, check_length, check_split
from identax.dgp.languages.rules import Rule, all_of

Reading = Literal["until EOS", "whole row"]
LONGEST = 2**14
"""M at most: as many lengths are listed, and tables grow with its square"""
LISTED = 2**12
"""M at most of which all strings are listed, up to M of them of M symbols each (published: 256)"""


@dataclasses.dataclass(frozen=True)
class Language:
    """Strings of at most `max_length` = M symbols that satisfy `rule1` and `rule2`, as rows of M + 2 tokens.

    `generator`: the law of strings in training; `prompt_law`: the prompts; `membership`: what else a string must
    satisfy, if rules 1 and 2 leave it open (as nesting of the two kinds of brackets). `completion_from`: the first
    column of a completed row at which rule 2 is asked for again; by default the one behind the prompt.
    Another language is another `Language(...)`; those of the papers are made by `language`, which knows a language of
    one's own by a name too, as the experiments do, once `LANGUAGES` has it.
    Raises `ValueError` for an alphabet of another number of symbols, and M too small for any string or above `LONGEST`.
    """

    name: str
    alphabet: Alphabet
    generator: Generator
    rule1: Rule
    rule2: Rule
    prompt_law: PromptLaw
    max_length: int
    membership: Rule | None = None
    completion_from: int | None = None

    def __post_init__(self):
        check_count(f"Language {self.name}", "max_length", self.max_length)
        check_between(f"Language {self.name}", "max_length", self.max_length, 1, LONGEST)
        if len(self.alphabet.symbols) != self.generator.num_symbols:
            raise ValueError(
                f"Language {self.name}: found {len(self.alphabet.symbols)} symbols, wanted {self.generator.num_symbols}"
            )
        if not self.generator.lengths(self.max_length):
            raise ValueError(f"Language {self.name}: found no string with M={self.max_length}, wanted a larger M")

    @property
    def columns(self) -> int:
        """Tokens of a row: M + 2."""
        return self.max_length + 2

    @property
    def grammar(self) -> Rule:
        """Both rules, and `membership`."""
        rules = (self.rule1, self.rule2) if self.membership is None else (self.rule1, self.rule2, self.membership)
        return all_of(*rules)

    def strings(self) -> Int[np.ndarray, "N T"]:
        """All rows of the law, shortest first, each once: the training set where it is one.

        Raises `ValueError` for a law whose words are too many to list, and M above `LISTED`; `sample` draws from it.
        """
        if self.max_length > LISTED:
            raise ValueError(f"Language {self.name}: found M={self.max_length}, wanted at most {LISTED} to list all")
        words = self.generator.words(self.max_length)
        if words is None:
            raise ValueError(f"Language {self.name}: found a law whose strings are not listed, wanted sample(key, num)")
        letters = self.alphabet.letters
        return self.alphabet.rows(["".join(letters[one] for one in word) for word in words], self.columns)

    def sample(self, key: Key[Array, ""], num: int, *, length: int | None = None) -> Int[Array, "num T"]:
        """Draws rows from the law of training, or from it given that a word has `length` symbols: no rejection.

        Raises `ValueError` for num < 1, and a length of which there is no string.
        """
        check_count("sample", "num", num)
        if length is not None:
            check_length("sample", self.generator, length, self.max_length)
        return _rows(self, key, num, length)

    def prompts(
        self,
        length: int,
        *,
        key: Key[Array, ""] | None = None,
        split: Literal["published", "completable"] = "published",
    ) -> Prompts:
        """Prompts of `length` symbols with SOS in front, and which of them are in distribution, on the host.

        `split`: by the rule of the published code, or by whether a string of the language begins so. `key`: of the
        languages whose prompts are random. For brackets `length` is that of the word behind the first two symbols.
        Raises `ValueError` for a length below 1 or above M, and where a key is missing.
        """
        check_count("prompts", "length", length)
        check_split(split)
        if length > self.max_length:
            raise ValueError(f"prompts: found length={length}, wanted at most M={self.max_length}")
        return self.prompt_law.make(self.alphabet, length, key, split)

    def entropy(self) -> float:
        """Entropy of the law of strings in nats per string, in closed form or by dynamic programming."""
        return self.generator.entropy(self.max_length)

    def entropy_floor(self) -> float:
        """What no model's mean loss per target token falls below: entropy / (M + 1), padding being counted."""
        return self.entropy() / (self.max_length + 1)


class Scores(NamedTuple):
    """One truth value per completed row: which rules hold. `completion`: rule 2 of the completion alone."""

    finished: Any
    rule1: Any
    rule2: Any
    completion: Any
    grammatical: Any


def counted(alphabet: Alphabet, tokens: Any, reading: Reading = "until EOS") -> tuple[Array, Array]:
    """Which rows [N] are finished, and which columns [N, T] are counted as symbols.

    "until EOS": finished is what has an EOS, and what follows the first one is ignored (published code of Meszaros et
    al. 2024). "whole row": a symbol behind the first EOS leaves the row unfinished, and all symbols count (that of
    Reizinger et al. 2024). Raises `ValueError` for another reading and for unknown tokens.
    """
    check_choice("counted", "reading", reading, ("until EOS", "whole row"))
    rows = jnp.asarray(alphabet.tokens("counted", tokens))
    if not rows.ndim:
        raise ValueError("counted: found one token, wanted rows [N, T]")
    return _counted(alphabet, rows, reading)


def score(language: Language, tokens: Any, prompt_length: int, *, reading: Reading = "until EOS") -> Scores:
    """Scores completed rows [N, T] (SOS, prompt of `prompt_length` symbols, completion).

    `grammatical`: the rules, at least one symbol, and no SOS or PAD before the first EOS. `reading` as of `counted`.
    Rows that are not finished are scored too: `shares` has the means over all rows and over the finished ones.
    Raises `ValueError` for another reading, unknown tokens, and rows shorter than SOS and prompt.
    Source: Reizinger et al. 2024 and Meszaros et al. 2024 (published code); `grammatical` is stricter than theirs.
    """
    check_choice("score", "reading", reading, ("until EOS", "whole row"))
    check_count("score", "prompt_length", prompt_length, 0)
    rows = jnp.asarray(language.alphabet.tokens("score", tokens))
    if rows.ndim != 2 or rows.shape[1] < prompt_length + 1:
        raise ValueError(f"score: found tokens {rows.shape}, wanted [N, T] with T >= {prompt_length + 1}")
    return _score(language, rows, prompt_length, reading)


def shares(scores: Scores, counts: Any = None) -> dict[str, Float[Array, ""]]:
    """Means of scores over all rows, and over the finished ones ("..., finished"); 0 where no row is finished.

    `counts` [N]: which rows count, by default all; 0 where none does. The published tables show the means over finished
    rows alone, of which there may be few. Raises `ValueError` for other than one finite weight >= 0 per row.
    """
    if counts is not None:
        check_nonnegative("shares", "counts", counts, np.shape(scores.finished))
    return _shares(scores, counts)


@jax.jit
def _shares(scores, counts):
    finished = jnp.asarray(scores.finished, float)
    every = jnp.ones_like(finished) if counts is None else jnp.asarray(counts, float)
    ended = every * finished

    def mean(weight, values):
        return (weight * values).sum() / jnp.maximum(weight.sum(), 1.0)

    found = {"finished": mean(every, finished)}
    for name in ("rule1", "rule2", "completion", "grammatical"):
        values = jnp.asarray(getattr(scores, name), float)
        found[name], found[f"{name}, finished"] = mean(every, values), mean(ended, values)
    return found


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _rows(language, key, num, length):
    words, lengths = language.generator.draw(key, num, language.max_length, length)
    return language.alphabet.framed(words, lengths, language.columns)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _counted(alphabet, rows, reading):
    symbol = jnp.isin(rows, jnp.asarray(alphabet.symbols))
    ended = jnp.cumsum(rows == alphabet.eos, axis=-1) > 0
    finished = ended.any(axis=-1)
    if reading == "whole row":
        return finished & ~(ended & symbol).any(axis=-1), symbol
    return finished, symbol & ~ended


@functools.partial(jax.jit, static_argnums=(0, 3))
def _score(language, rows, prompt_length, reading) -> Scores:
    finished, valid = _counted(language.alphabet, rows, reading)
    start = prompt_length + 1 if language.completion_from is None else language.completion_from
    completion = valid & (jnp.arange(rows.shape[1]) >= start)[None, :]
    grammar: Bool[Array, " N"] = language.grammar(rows, valid)
    ended = jnp.cumsum(rows == language.alphabet.eos, axis=-1) > 0
    stray = (~ended & ~valid)[:, 1:].any(axis=-1)
    return Scores(
        finished,
        language.rule1(rows, valid),
        language.rule2(rows, valid),
        language.rule2(rows, completion),
        grammar & valid.any(axis=-1) & ~stray,
    )
