"""The languages of the papers on rule extrapolation, by name: alphabet, M and generator are parameters of each."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

from identax.checks import check_choice, check_count
from identax.dgp.languages import rules
from identax.dgp.languages.alphabet import AB, AB_LAST, ABC, BRACKETS, Alphabet
from identax.dgp.languages.brackets import NestedBrackets, ShuffledBrackets
from identax.dgp.languages.generators import EqualShuffle, EvenTail, Generator, Powers, TwoBlocks
from identax.dgp.languages.language import Language
from identax.dgp.languages.prompts import AllStrings, BlockPrompts, BracketPrompts
from identax.dgp.languages.rules import Rule


class Recipe(NamedTuple):
    """How a language of that name is made: `make(name, alphabet, M) -> Language`, and the alphabet if none is given."""

    make: Callable[[str, Alphabet, int], Language]
    alphabet: Alphabet


def language(
    name: str, max_length: int = 256, *, alphabet: Alphabet | None = None, generator: Generator | None = None
) -> Language:
    """A language of `LANGUAGES`: strings of up to `max_length` = M symbols over `alphabet`, drawn by `generator`.

    Those of the papers, Reizinger et al. 2024 and from L1 on Meszaros et al. 2024:

    | name | strings | R1 | R2 |
    |---|---|---|---|
    | "a^n b^n", "L3" | a^n b^n | as many a as b | a's before b's |
    | "a^n b^n a^n" | a^n b^n a^n | twice as many a as b | b's together, as many a's before as after |
    | "equal counts" | any order | as many a as b | none |
    | "a^n b^m" | a^n b^m | both occur | a's before b's |
    | "L1" | b, then any order | even number of a's | begins with b |
    | "L2" | b^n a^2m | even number of a's after the last b | b's before a's, at least one b |
    | "L4" | nested ( ) and [ ] | [ ] matched | ( ) matched |
    | "L5" | a^n b^n c^n | equal counts | a's before b's before c's |
    | "L6" | ( ) and [ ] shuffled | [ ] matched | ( ) matched |

    Raises `ValueError` for another name, an alphabet of another size, and M too small for any string.
    """
    check_choice("language", "name", name, list(LANGUAGES))
    check_count(f"Language {name}", "max_length", max_length)
    for kind, value, wanted in (("alphabet", alphabet, Alphabet), ("generator", generator, Generator)):
        if value is not None and not isinstance(value, wanted):
            raise ValueError(f"language {name}: found {kind}={value!r}, wanted one of type {wanted.__name__}")
    return _made(name, LANGUAGES[name], int(max_length), alphabet, generator)


@functools.cache
def _made(
    name: str, recipe: Recipe, max_length: int, alphabet: Alphabet | None, generator: Generator | None
) -> Language:
    """Equal ones are one object, and share its programs."""
    alphabet = recipe.alphabet if alphabet is None else alphabet
    wanted = len(recipe.alphabet.symbols)
    if len(alphabet.symbols) != wanted:
        raise ValueError(f"language {name}: found an alphabet of {len(alphabet.symbols)} symbols, wanted {wanted}")
    made = recipe.make(name, alphabet, max_length)
    return made if generator is None else dataclasses.replace(made, generator=generator)


def _powers(name: str, alphabet: Alphabet, max_length: int) -> Language:
    symbols = alphabet.symbols
    prefix = Rule("begins a string", rules.equal_prefix, symbols)
    return Language(
        name=name,
        alphabet=alphabet,
        generator=Powers(tuple(range(len(symbols)))),
        rule1=Rule("equal counts", rules.equal_counts, symbols),
        rule2=Rule("in order", rules.in_order, symbols),
        prompt_law=AllStrings(prefix, prefix),
        max_length=max_length,
    )


def _mirrored(name: str, alphabet: Alphabet, max_length: int) -> Language:
    a, b = alphabet.symbols
    published = rules.all_of(
        Rule("a's before b's", rules.in_order, (a, b)), Rule("begins with a", rules.begins_with, (a, b))
    )
    return Language(
        name=name,
        alphabet=alphabet,
        generator=Powers((0, 1, 0)),
        rule1=Rule("twice as many a as b", rules.double_count, (a, b)),
        rule2=Rule("b's in the middle", rules.in_middle, (a, b)),
        prompt_law=AllStrings(published, Rule("begins a string", rules.mirrored_prefix, (a, b))),
        max_length=max_length,
    )


def _equal(name: str, alphabet: Alphabet, max_length: int) -> Language:
    every = Rule("anything", rules.anything, ())
    return Language(
        name=name,
        alphabet=alphabet,
        generator=EqualShuffle(),
        rule1=Rule("as many a as b", rules.equal_counts, alphabet.symbols),
        rule2=every,
        prompt_law=AllStrings(every, every),
        max_length=max_length,
    )


def _blocks(name: str, alphabet: Alphabet, max_length: int) -> Language:
    a, b = alphabet.symbols
    order = Rule("a's before b's", rules.in_order, (a, b))
    return Language(
        name=name,
        alphabet=alphabet,
        generator=TwoBlocks(),
        rule1=Rule("a and b occur", rules.occurs, (a, b)),
        rule2=order,
        prompt_law=AllStrings(order, Rule("a's first, then b's", rules.begun_in_order, (a, b))),
        max_length=max_length,
    )


def _begins_with_b(name: str, alphabet: Alphabet, max_length: int) -> Language:
    a, b = alphabet.symbols
    begins = Rule("begins with b", rules.begins_with, (b, a))
    return Language(
        name=name,
        alphabet=alphabet,
        generator=EvenTail(shuffled=True),
        rule1=Rule("even number of a's", rules.even_count, (a,)),
        rule2=begins,
        prompt_law=AllStrings(begins, begins),
        max_length=max_length,
    )


def _b_then_even(name: str, alphabet: Alphabet, max_length: int) -> Language:
    a, b = alphabet.symbols
    return Language(
        name=name,
        alphabet=alphabet,
        generator=EvenTail(shuffled=False),
        rule1=Rule("even number of a's after the last b", rules.even_count_after, (a, b)),
        rule2=Rule("b's before a's", rules.begun_in_order, (b, a)),
        prompt_law=BlockPrompts(),
        max_length=max_length,
    )


def _brackets(name: str, alphabet: Alphabet, max_length: int) -> Language:
    nested = Rule("nested", rules.nested, alphabet.symbols)
    return Language(
        name=name,
        alphabet=alphabet,
        generator=NestedBrackets() if name == "L4" else ShuffledBrackets(),
        rule1=Rule("brackets matched", rules.balanced, alphabet.symbols[2:]),
        rule2=Rule("parentheses matched", rules.balanced, alphabet.symbols[:2]),
        # The published prompts of both languages end in nested words.
        prompt_law=BracketPrompts(NestedBrackets()),
        max_length=max_length,
        membership=nested if name == "L4" else None,
        completion_from=3,
    )


LANGUAGES: dict[str, Recipe] = {
    "a^n b^n": Recipe(_powers, AB_LAST),
    "a^n b^n a^n": Recipe(_mirrored, AB_LAST),
    "equal counts": Recipe(_equal, AB_LAST),
    "a^n b^m": Recipe(_blocks, AB_LAST),
    "L1": Recipe(_begins_with_b, AB),
    "L2": Recipe(_b_then_even, AB),
    "L3": Recipe(_powers, AB),
    "L4": Recipe(_brackets, BRACKETS),
    "L5": Recipe(_powers, ABC),
    "L6": Recipe(_brackets, BRACKETS),
}
"""the first four of Reizinger et al. 2024, L1 to L6 of Meszaros et al. 2024; L3 is a^n b^n with the other alphabet.
Another entry is known by its name wherever a name is asked for, by experiments and their command line too"""
