"""What claims of several experiments share; the strings of case study 1 and of the scaling study, and their loss."""

import functools
from typing import Any

from identax.assumptions import Report, rule_extrapolation_report
from identax.dgp.languages import Language, language

JUDGED = ("quick", "medium")
"""presets whose rows are judged"""
RULE = "OOD rule1, finished"
"""of completed prompts off the support (out of distribution, OOD) that end: the share whose strings keep rule 1"""
NEAR_FLOOR = 0.02
"""nats per target above the floor of the loss that count as near it"""
LOSS = "test loss"
"""in records, of `llm/rule_extrapolation` and `llm/scaling`: the loss on all strings, without dropout. The language is
finite and all of it is trained on: no string is held out"""
MOST = ", most over checks"
"""behind a score: the largest of all evaluations, as the published tables have it; chosen by what it reports"""
FLOOR_AT = {32: 0.0840180, 64: 0.0533190}
"""by M: the floor of that loss, ln(#strings) / (M + 1), written out so that a test compares it"""


def learned_language(config: Any) -> Language:
    """What is learned: the language of that name, of strings up to `max_length`."""
    return language(config.language, config.max_length)


_report = functools.cache(rule_extrapolation_report)


def left_open(config: Any) -> Report:
    """What the loss leaves open, exactly: tables with one loss whose rule 1 runs from 0 to 1."""
    return _report(learned_language(config), config.prompt_length)
