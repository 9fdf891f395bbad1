"""Formal languages: alphabets by role, rules, laws of strings, prompts in and out of distribution, chance levels."""

from identax.dgp.languages.alphabet import AB, AB_LAST, ABC, BRACKETS, Alphabet
from identax.dgp.languages.brackets import NestedBrackets, ShuffledBrackets, conditional_openings
from identax.dgp.languages.catalogue import LANGUAGES, Recipe, language
from identax.dgp.languages.chance import Chance, chance_level, chance_levels
from identax.dgp.languages.generators import EqualShuffle, EvenTail, Generator, Powers, TwoBlocks
from identax.dgp.languages.language import Language, Scores, counted, score, shares
from identax.dgp.languages.prompts import (
    AllStrings,
    BlockPrompts,
    BracketPrompts,
    PromptLaw,
    Prompts,
    adversarial_rows,
    oracle_rows,
)
from identax.dgp.languages.rules import Rule, all_of

__all__ = [
    "AB",
    "ABC",
    "AB_LAST",
    "BRACKETS",
    "LANGUAGES",
    "AllStrings",
    "Alphabet",
    "BlockPrompts",
    "BracketPrompts",
    "Chance",
    "EqualShuffle",
    "EvenTail",
    "Generator",
    "Language",
    "NestedBrackets",
    "Powers",
    "PromptLaw",
    "Prompts",
    "Recipe",
    "Rule",
    "Scores",
    "ShuffledBrackets",
    "TwoBlocks",
    "adversarial_rows",
    "all_of",
    "chance_level",
    "chance_levels",
    "conditional_openings",
    "counted",
    "language",
    "oracle_rows",
    "score",
    "shares",
]
