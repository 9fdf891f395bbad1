"""The trials of a search: suggested, tried and told in batches, all of a layer in one program, none forgotten."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from identax.checks import check_count
from identax.inputs import numbers
from identax.search.space import Cell, Space
from identax.search.suggestion import STARTUP, Tried, suggest

Columns = Mapping[str, Any]
"""metrics of a batch of cells: a list or array [batch] by name"""


def search(
    evaluate: Callable[[list[Cell]], Columns],
    space: Space,
    *,
    objective: str,
    num_trials: Any,
    batch: Any = 1,
    method: str = "random",
    seed: Any = 0,
    startup: int = STARTUP,
) -> list[Tried]:
    """All trials of a search, in the order in which they were suggested: a batch is suggested, tried, and told.

    `evaluate(cells) -> {name: values [batch]}` gets up to `batch` cells and returns what it measured of each; the
    metric `objective` is what is to become small. Choose it on data that no reported number is computed from, and
    report only what the chosen cell does on fresh seeds: the smallest of many noisy values is too small.
    Raises `ValueError` as `suggest`, for num_trials < 1, and where `evaluate` lacks the objective or returns another
    number of values.
    """
    check_count("search", "num_trials", num_trials)
    check_count("search", "batch", batch)
    tried: list[Tried] = []
    while len(tried) < num_trials:
        count = min(batch, num_trials - len(tried))
        cells = suggest(space, tried, count, method=method, seed=seed, startup=startup)
        tried += _told(cells, evaluate(cells), objective)
    return tried


def best_of(tried: Sequence[Tried]) -> int:
    """Number of the trial with the smallest value, the earliest of equals; failed ones are none.

    Raises `ValueError` where no trial has a finite value.
    """
    values = _numbers("best_of", "values", [trial.value for trial in tried], (len(tried),))
    if not np.isfinite(values).any():
        raise ValueError(f"best_of: found {len(values)} trials without a finite value, wanted at least one with it")
    return int(np.where(np.isfinite(values), values, np.inf).argmin())


def by_choice(
    evaluate: Callable[[Cell, dict[str, np.ndarray]], Columns], names: Sequence[str], *, block: Any
) -> Callable[[list[Cell]], dict[str, np.ndarray]]:
    """An `evaluate` of `search` for programs that are compiled once for each value of the dimensions `names`.

    `evaluate(fixed, columns) -> {name: values [block]}` gets the values of `names`, and of all other dimensions one
    array [block] of float32 each, always of that length: the last cell of a group is repeated to fill it, and what is
    measured of the copies is dropped. So all trials of a layer are one program, with p and c traced.
    Raises `ValueError` for block < 1, a name that the cells lack, and anything but `block` numbers of a metric.
    """
    check_count("by_choice", "block", block)

    def of_cells(cells):
        groups: dict[tuple, list[int]] = {}
        for number, cell in enumerate(cells):
            missing = [name for name in names if name not in cell]
            if missing:
                raise ValueError(f"by_choice: found cells of {sorted(cell)}, wanted {missing[0]!r} among them")
            groups.setdefault(tuple(cell[name] for name in names), []).append(number)
        blocks = [
            (fixed, group[first : first + block])
            for fixed, group in groups.items()
            for first in range(0, len(group), block)
        ]
        found: dict[str, np.ndarray] = {}
        for fixed, own in blocks:
            rows = own + [own[-1]] * (block - len(own))
            others = [name for name in cells[rows[0]] if name not in names]
            columns = {
                name: _numbers("by_choice", name, [cells[row][name] for row in rows], (block,)).astype(np.float32)
                for name in others
            }
            for name, values in evaluate(dict(zip(names, fixed, strict=True)), columns).items():
                column = found.setdefault(name, np.full(len(cells), np.nan))
                column[own] = _numbers("by_choice", name, values, (block,))[: len(own)]
        return found

    return of_cells


def carried(
    train: Callable[[Any, Cell], tuple[Any, Mapping[str, Any]]], state: Any
) -> Callable[[list[Cell]], dict[str, list[float]]]:
    """An `evaluate` of `search` whose trials share one model: trial k goes on where trial k - 1 ended. A control.

    `train(state, cell) -> (state, metrics)`. It repeats what the published search does, whose network and optimiser are
    made once and handed to every trial: later trials have trained longer, whatever their cell is, so the chosen cell
    says when it was tried. Nothing should be chosen that way.
    """
    held = [state]

    def of_cells(cells):
        rows = []
        for cell in cells:
            held[0], metrics = train(held[0], cell)
            rows.append({name: float(_numbers("carried", name, value, ())) for name, value in metrics.items()})
        return {name: [row[name] for row in rows] for name in rows[0]}

    return of_cells


def _told(cells: list[Cell], columns: Columns, objective: str) -> list[Tried]:
    if objective not in columns:
        raise ValueError(f"search: found no metric {objective!r}, wanted one of {sorted(columns)}")
    table = {name: _numbers("search", name, values, (len(cells),)) for name, values in columns.items()}
    rows = [{name: float(values[row]) for name, values in table.items()} for row in range(len(cells))]
    return [Tried(cell, metrics[objective], metrics) for cell, metrics in zip(cells, rows, strict=True)]


def _numbers(where: str, name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Floats of this shape on the host; raises `ValueError` for anything else."""
    found = np.asarray(numbers(where, name, values), float)
    if found.shape != shape:
        raise ValueError(f"{where}: found {name!r} of shape {found.shape}, wanted {shape}, a number for each cell")
    return found
