"""Languages over one alphabet side by side: which of them a trial learns is a number, so that they share a program."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_between, check_choice, check_count
from identax.dgp.languages import LANGUAGES, Chance, Language, Prompts, Scores, chance_levels, language, score, shares
from identax.dgp.languages.prompts import MAX_PROMPTS
from identax.rng import step_key, stream

MASSES = ("both rules", "rule 1 alone", "rule 2 alone", "neither rule")
"""into which short strings fall"""


class Rows(NamedTuple):
    """A set of strings: the first `count` of `tokens` int8 [N, T] belong to it."""

    tokens: Any
    count: Any


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageGroup:
    """Languages with one alphabet and one M. `index`, below, is the number of one of them, and may be traced.

    `prompts` [languages, P, L + 1]; `in_distribution` and `out_of_distribution` [languages, P]: which of these are;
    what is neither fills up. `short` [S, l + 2]: all strings of up to l symbols, and `rules_hold` [2, languages, S]:
    which rules hold of them; None where nobody asks. `chance` [languages, 4]: of blind completions.
    """

    languages: tuple[Language, ...]
    prompts: Any
    in_distribution: Any
    out_of_distribution: Any
    chance: Any
    short: Any
    rules_hold: Any

    @property
    def alphabet(self):
        """Of all of them."""
        return self.languages[0].alphabet

    @property
    def columns(self) -> int:
        """Tokens of a row: M + 2."""
        return self.languages[0].columns

    def string_sets(self, index: Any, key: Any, nums: Mapping[str, int]) -> dict[str, Rows]:
        """Sets of strings by name: so many drawn ones, or all strings where the language lists them."""
        # One draw for all sets: every draw costs seconds of compilation.
        total, found = sum(nums.values()), {}
        pools = [
            jnp.asarray(one.strings()) if _is_listed(one) else one.sample(stream(key, one.name), total)
            for one in self.languages
        ]
        first = 0
        for name, num in nums.items():
            own = [
                (pool, len(pool)) if _is_listed(one) else (pool[first : first + num], num)
                for one, pool in zip(self.languages, pools, strict=True)
            ]
            size = max(count for _, count in own)
            tokens = jnp.stack([jnp.resize(rows, (size, self.columns)) for rows, _ in own]).astype(jnp.int8)
            found[name] = Rows(tokens[index], jnp.asarray([count for _, count in own])[index])
            first += num
        return found

    def completion_scores(self, index: Any, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Shares of completed prompts [P, T] of which a rule holds: "OOD rule1, finished" and so on, by name."""
        length, num = self.prompts.shape[2] - 1, self.prompts.shape[1]
        rows = jnp.concatenate(list(tokens.values()))
        every = [score(one, rows, length) for one in self.languages]
        scores = Scores(*(jnp.stack(parts)[index] for parts in zip(*every, strict=True)))
        found = {}
        for number, before in enumerate(tokens):
            of_set = Scores(*(part[number * num : (number + 1) * num] for part in scores))
            for name, counts in {"OOD": self.out_of_distribution, "ID": self.in_distribution}.items():
                found |= {f"{before}{name} {what}": value for what, value in shares(of_set, counts[index]).items()}
        return found

    def chance_scores(self, index: Any) -> dict[str, Any]:
        """What completions of tokens chosen blindly score."""
        chance = Chance(*self.chance[index])
        return {"OOD rule1 by chance": chance.rule1_beyond, "OOD completion by chance": chance.rule2_beyond}

    def rule_masses(self, index: Any, log_probs: Any) -> dict[str, Any]:
        """How probable short strings are together, by the rules that hold: `log_probs` [S] of the strings `short`."""
        rule1, rule2 = self.rules_hold[0, index], self.rules_hold[1, index]
        parts = (rule1 & rule2, rule1 & ~rule2, ~rule1 & rule2, ~rule1 & ~rule2)
        return {
            f"mass of {name}": jnp.where(part, jnp.exp(log_probs), 0).sum()
            for name, part in zip(MASSES, parts, strict=True)
        }


def batch_of(rows: Rows, key: Any, step: Any, size: int) -> tuple[Any, Any]:
    """Rows [size, T] of one step, and which of them count: an epoch goes through the set once, in a new order.

    A set of fewer rows than `size` is the batch, each row once. What is left over at the end of an epoch is dropped.
    """
    num, row = len(rows.tokens), jnp.arange(size)
    parts = jnp.maximum(rows.count // size, 1)
    epoch, part = step // parts, step % parts
    level = jax.random.uniform(step_key(key, epoch), (num,))
    order = jnp.argsort(jnp.where(jnp.arange(num) < rows.count, level, 2.0))
    return rows.tokens[order[(part * size + row) % num]].astype(jnp.int32), row < rows.count


def language_group(
    names: Sequence[str | Language],
    max_length: int,
    prompt_length: int,
    *,
    seed: int,
    mass_length: int,
    random_prompts: int | None = None,
) -> LanguageGroup:
    """These languages, their prompts and their short strings; random prompts are those of `seed`.

    A language is a name or a `Language`; a rule of one's own, without a closed form, has a chance level of NaN.
    `mass_length`: l of two symbols, fewer of more symbols (no more strings); 0: none. `random_prompts`: as of
    `as_language`.
    Raises `ValueError` for unknown names, more than one alphabet or M, prompts or short strings longer than M, and a
    language without a prompt of either kind.
    """
    languages = tuple(as_language(name, max_length, random_prompts) for name in names)
    if not languages or len({one.alphabet for one in languages}) > 1:
        named = [one.name for one in languages]
        raise ValueError(f"language_group: found the languages {named}, wanted some with one alphabet")
    prompts_of_each = [prompts_of(one, prompt_length, seed) for one in languages]
    for prompts in prompts_of_each:
        for chosen in (prompts.in_distribution, prompts.out_of_distribution):
            chosen()  # raises where there are none
    num = max(len(prompts.tokens) for prompts in prompts_of_each)
    tokens = np.stack([np.resize(prompts.tokens, (num, prompts.tokens.shape[1])) for prompts in prompts_of_each])
    real = np.stack([np.arange(num) < len(prompts.tokens) for prompts in prompts_of_each])
    inside = np.stack([np.resize(prompts.within, num) for prompts in prompts_of_each])
    chance = np.array([chance_levels(*pair) for pair in zip(languages, prompts_of_each, strict=True)])
    short, rules_hold = None, None
    if mass_length:
        short = _short(languages[0], mass_length)
        kept = [[rule(short) for rule in (one.rule1, one.rule2)] for one in languages]
        rules_hold = jnp.stack([jnp.stack(rows) for rows in zip(*kept, strict=True)])
    return LanguageGroup(
        languages,
        prompts=jnp.asarray(tokens),
        in_distribution=jnp.asarray(real & inside),
        out_of_distribution=jnp.asarray(real & ~inside),
        chance=jnp.asarray(chance),
        short=short,
        rules_hold=rules_hold,
    )


def as_language(name: str | Language, max_length: int, random_prompts: int | None = None) -> Language:
    """The language of that name, or the one that is given.

    `random_prompts`: of either kind, where prompts are drawn; None: as many as published, 128 of L2, 32 of L4 and L6.
    Raises `ValueError` with the nearest name for an unknown one, and for a given language of another M.
    """
    if isinstance(name, Language):
        found = name
        if found.max_length != max_length:
            raise ValueError(f"languages: found {found.name} with M={found.max_length}, wanted M={max_length}")
    else:
        check_choice("languages", "language", name, list(LANGUAGES))
        found = language(name, max_length)
    law: Any = found.prompt_law
    if random_prompts is None or law.num is None:
        return found
    check_count("languages", "random_prompts", random_prompts)
    check_between("languages", "random_prompts", random_prompts, 1, MAX_PROMPTS)
    return dataclasses.replace(found, prompt_law=dataclasses.replace(law, num=random_prompts))


def prompts_of(one: Language, length: int, seed: int) -> Prompts:
    """The prompts of a language, those that are random from `seed`."""
    return one.prompts(length, key=stream(jax.random.key(seed), "prompts"))


def _is_listed(one: Language) -> bool:
    """Whether all strings are known, so that none are drawn."""
    return one.generator.words(one.max_length) is not None


def _short(one: Language, length: int) -> Any:
    """All strings of 1 to l symbols, with EOS and padding, [S, l + 2]."""
    check_count("languages", "mass_length", length)
    letters = one.alphabet.letters
    length = max(int(length * math.log(2) / math.log(len(letters)) + 1e-9), 1)
    if length > one.max_length:
        raise ValueError(f"languages: found strings of {length} symbols, wanted at most M={one.max_length}")
    words = itertools.chain.from_iterable(itertools.product(letters, repeat=size) for size in range(1, length + 1))
    return one.alphabet.rows(["".join(word) for word in words], length + 2)
