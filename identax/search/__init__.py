"""Looking for a good setting: random or TPE suggestions in batches, every trial kept.

It stands beside `identax/study.py` and knows neither studies nor runs: what is looked for is a function of cells, which
an experiment or a loop of one's own brings. Suggestions are a pure function of what was tried and of a seed, so a
search goes on from its record and has no state of its own.

    space = window_space([("conv2", None), ("fc1", None)])
    tried = search(evaluate, space, objective="validation loss", num_trials=40, batch=8, method="tpe")
    chosen = tried[best_of(tried)].cell       # train it again on fresh seeds before a number is reported
"""

from identax.search.space import Cell, Choice, LogUniform, Space, Uniform, window_space
from identax.search.suggestion import Tried, suggest, tpe_installed
from identax.search.trials import best_of, by_choice, carried, search

__all__ = [
    "Cell",
    "Choice",
    "LogUniform",
    "Space",
    "Tried",
    "Uniform",
    "best_of",
    "by_choice",
    "carried",
    "search",
    "suggest",
    "tpe_installed",
    "window_space",
]
