"""Which cells to try next: random ones, or those of the tree-structured Parzen estimator (optuna)."""

import importlib.util
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from identax.checks import check_choice, check_count
from identax.columns import whole_number
from identax.search.space import Cell, Choice, LogUniform, Space, check_space, drawn_cell

METHODS = ("random", "tpe")
STARTUP = 10
"""random trials before TPE begins, as optuna has it"""


class Tried(NamedTuple):
    """One trial of a search: its cell, its `value` (the smaller the better, NaN: failed) and all that was measured."""

    cell: Cell
    value: float
    metrics: dict[str, float]


def tpe_installed() -> bool:
    """Whether the package that suggests by TPE can be imported."""
    return importlib.util.find_spec("optuna") is not None


def suggest(
    space: Space,
    tried: Sequence[Tried],
    batch: Any = 1,
    *,
    method: str = "random",
    seed: Any = 0,
    startup: int = STARTUP,
) -> list[Cell]:
    """The next `batch` cells to try, after `tried`: the same history and seed give the same cells.

    * "random": independent draws of the space; the cell of trial k depends on seed and k alone, not on the batches
    * "tpe": the first `startup` cells are those of "random", then the tree-structured Parzen estimator proposes: of the
      trials so far the best ones have density l and the others g, and the cell is drawn where l/g is large. Within a
      batch the cells that are still open count as bad ones, so that the batch spreads ("constant liar"). A trial
      without a finite value counts as the worst. It is optuna's `TPESampler` with its defaults.

    Raises `ValueError` for an empty space, bounds that are none, batch < 1, an unknown method, and for "tpe" without
    optuna, with the command that installs it.
    Source: Bergstra, Bardenet, Bengio & Kegl 2011 (TPE), Ginsbourger et al. 2010 (constant liar).
    """
    check_space("suggest", space)
    check_choice("suggest", "method", method, METHODS)
    check_count("suggest", "batch", batch)
    check_count("suggest", "startup", startup, 0)
    seed = whole_number("suggest: seed", seed, 0, 2**32)
    done = len(tried)
    randoms = batch if method == "random" else min(max(startup - done, 0), batch)
    if method == "tpe" and not tpe_installed():
        raise ValueError("suggest: found no package optuna, which 'tpe' needs; run: pip install -e .[search]")
    cells = [drawn_cell(space, seed, number) for number in range(done, done + randoms)]
    return cells + (_by_tpe(space, tried, cells, batch - randoms, seed, startup) if randoms < batch else [])


def _by_tpe(space: Space, tried: Sequence[Tried], asked: list[Cell], count: int, seed: int, startup: int) -> list[Cell]:
    """`count` cells by optuna, after what was tried and what was `asked` for in the same batch."""
    import optuna  # pyright: ignore[reportMissingImports]

    laws: dict[str, Any] = {}
    for name, law in space.items():
        if isinstance(law, Choice):
            laws[name] = optuna.distributions.CategoricalDistribution(range(len(law.values)))
        else:
            laws[name] = optuna.distributions.FloatDistribution(law.low, law.high, log=isinstance(law, LogUniform))

    def coded(cell):
        return {
            name: law.values.index(cell[name]) if isinstance(law, Choice) else float(cell[name])
            for name, law in space.items()
        }

    draw = int(np.random.SeedSequence([seed, len(tried)]).generate_state(1)[0])
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar
            sampler = optuna.samplers.TPESampler(n_startup_trials=startup, constant_liar=True, seed=draw)
            study = optuna.create_study(sampler=sampler)
        for trial in tried:
            value = trial.value if math.isfinite(trial.value) else math.inf
            study.add_trial(optuna.create_trial(params=coded(trial.cell), distributions=laws, value=value))
        running = optuna.trial.TrialState.RUNNING
        for cell in asked:
            study.add_trial(optuna.create_trial(state=running, params=coded(cell), distributions=laws))
        proposed = [study.ask(laws).params for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [
        {name: law.values[cell[name]] if isinstance(law, Choice) else cell[name] for name, law in space.items()}
        for cell in proposed
    ]
