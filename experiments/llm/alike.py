"""Languages over one alphabet side by side: which of them a trial learns is a number, so that they share a program."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_choice, check_count
from identax.dgp.languages import LANGUAGES, Chance, Language, Prompts, Scores, chance_levels, language, score, shares
from identax.rng import step_key, stream

MASSES = ("both rules", "rule 1 alone", "rule 2 alone", "neither rule")
"""into which short strings fall"""


class Rows(NamedTuple):
    """A set of strings: the first `count` of `tokens` int8 [N, T] belong to it."""

    tokens: Any
    count: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Alike:
    """Languages with one alphabet and one M. `place`, below, is the number of one of them, and may be traced.

    `prompts` [languages, P, L + 1]; `within` and `beyond` [languages, P]: which of these are in and out of
    distribution; what is neither fills up. `short` [S, l + 2]: all strings of up to l symbols, and `holds`
    [2, languages, S]: which rules hold of them; None where nobody asks.
    """

    languages: tuple[Language, ...]
    prompts: Any
    within: Any
    beyond: Any
    short: Any
    holds: Any

    @property
    def alphabet(self):
        """Of all of them."""
        return self.languages[0].alphabet

    @property
    def columns(self) -> int:
        """Tokens of a row: M + 2."""
        return self.languages[0].columns

    def drawn(self, place: Any, key: Any, num: int) -> Rows:
        """A set for training or to test on: all strings where they are listed, else `num` drawn ones."""
        found = [_listed(one) for one in self.languages]
        size = max(num if rows is None else len(rows) for rows in found)
        made, counts = [], []
        for one, rows in zip(self.languages, found, strict=True):
            drawn = one.sample(stream(key, one.name), num) if rows is None else jnp.asarray(rows)
            counts.append(len(drawn))
            made.append(jnp.take(drawn, jnp.arange(size) % len(drawn), axis=0).astype(jnp.int8))
        return Rows(jnp.stack(made)[place], jnp.asarray(counts)[place])

    def scored(self, place: Any, tokens: Any) -> dict[str, Any]:
        """Shares of completed prompts [P, T] of which a rule holds: "OOD rule1, finished" and so on."""
        length = self.prompts.shape[2] - 1
        every = [score(one, tokens, length) for one in self.languages]
        scores = Scores(*(jnp.stack(parts)[place] for parts in zip(*every, strict=True)))
        found = {}
        for name, counts in {"OOD": self.beyond, "ID": self.within}.items():
            found |= {f"{name} {what}": value for what, value in shares(scores, counts[place]).items()}
        return found

    def masses(self, place: Any, log_probs: Any) -> dict[str, Any]:
        """How probable short strings are together, by the rules that hold: `log_probs` [S] of the strings `short`."""
        one, other = self.holds[0, place], self.holds[1, place]
        parts = (one & other, one & ~other, ~one & other, ~one & ~other)
        return {
            f"mass of {name}": jnp.where(part, jnp.exp(log_probs), 0).sum()
            for name, part in zip(MASSES, parts, strict=True)
        }


def batch_of(rows: Rows, key: Any, step: Any, size: int) -> tuple[Any, Any]:
    """Rows [size, T] of one step, and which of them count: an epoch goes through the set once, in a new order.

    A set of fewer rows than `size` is the batch, each row once. What is left over at the end of an epoch is dropped.
    """
    num, place = len(rows.tokens), jnp.arange(size)
    parts = jnp.maximum(rows.count // size, 1)
    epoch, part = step // parts, step % parts
    level = jax.random.uniform(step_key(key, epoch), (num,))
    order = jnp.argsort(jnp.where(jnp.arange(num) < rows.count, level, 2.0))
    return rows.tokens[order[(part * size + place) % num]].astype(jnp.int32), place < rows.count


def alike(names: Sequence[str], max_length: int, prompt_length: int, *, seed: int, mass_length: int) -> Alike:
    """These languages, their prompts and their short strings; random prompts are those of `seed`.

    `mass_length`: l of two symbols, fewer of more symbols (no more strings); 0 for none.
    Raises `ValueError` for unknown names, more than one alphabet, prompts or short strings longer than M, and a
    language without a prompt of either kind.
    """
    found = tuple(known(name, max_length) for name in names)
    if not found or len({one.alphabet for one in found}) > 1:
        raise ValueError(f"alike: found the languages {list(names)}, wanted some with one alphabet")
    asked = [prompts_of(one, prompt_length, seed) for one in found]
    for prompts in asked:
        prompts.in_distribution(), prompts.out_of_distribution()  # raise where there are none
    num = max(len(prompts.tokens) for prompts in asked)
    tokens = np.stack([np.resize(prompts.tokens, (num, prompts.tokens.shape[1])) for prompts in asked])
    real = np.stack([np.arange(num) < len(prompts.tokens) for prompts in asked])
    within = np.stack([np.resize(prompts.within, num) for prompts in asked])
    short, holds = None, None
    if mass_length:
        short = _short(found[0], mass_length)
        holds = jnp.stack(
            [jnp.stack([one.rule1(short) for one in found]), jnp.stack([one.rule2(short) for one in found])]
        )
    return Alike(found, *(jnp.asarray(part) for part in (tokens, real & within, real & ~within)), short, holds)


def known(name: str, max_length: int) -> Language:
    """The language of that name; raises `ValueError` with the nearest name for another."""
    check_choice("languages", "language", name, LANGUAGES)
    return language(name, max_length)


def prompts_of(one: Language, length: int, seed: int) -> Prompts:
    """The prompts of a language, those that are random from `seed`."""
    return one.prompts(length, key=stream(jax.random.key(seed), "prompts"))


@functools.cache
def chances(name: str, max_length: int, prompt_length: int, seed: int) -> Chance:
    """How often the rules hold of prompts that are completed blindly."""
    one = known(name, max_length)
    return chance_levels(one, prompts_of(one, prompt_length, seed))


def _listed(one: Language) -> Any:
    """All strings where they are listed, else None."""
    return one.strings() if hasattr(one.generator, "words") else None


def _short(one: Language, length: int) -> Any:
    """All strings of 1 to l symbols, with EOS and padding, [S, l + 2]."""
    check_count("languages", "mass_length", length)
    letters = one.alphabet.letters
    length = max(int(length * math.log(2) / math.log(len(letters)) + 1e-9), 1)
    if length > one.max_length:
        raise ValueError(f"languages: found strings of {length} symbols, wanted at most M={one.max_length}")
    words = itertools.chain.from_iterable(itertools.product(letters, repeat=size) for size in range(1, length + 1))
    return one.alphabet.rows(["".join(word) for word in words], length + 2)
