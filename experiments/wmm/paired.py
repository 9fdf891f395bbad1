"""Operator less baseline, seed by seed: differences, their intervals, and the rows that all experiments report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.experiment import Arm, Reference
from identax.paired import interval_ends, interval_rows, median_interval
from identax.points import cells
from identax.run import Results

BASELINE = "baseline"
MEDIAN = ", median"
"""behind a difference's name: the ends are those of the interval of the median"""
AT_BEST = ", best validation"
"""behind a metric's name: at the smallest validation loss; without it at the last step, as published"""


def cell_name(at: Mapping[str, Any], swept: Sequence[str]) -> str:
    """The arm's name, and the values of what its sweep crosses: "shuffle, p = 0.1, c = 0.3"."""
    return ", ".join([at["arm"], *(f"{field} = {at[field]:g}" for field in swept)])


def measured(
    arms: Sequence[Arm], results: Mapping[str, Results], metrics: Sequence[str], *, baseline: str = BASELINE
) -> dict[str, np.ndarray]:
    """Per seed, for every cell and metric `CELL: METRIC` and `CELL: METRIC, best validation`; and paired rows.

    Paired rows, for every cell but the baseline's, where that was run: `CELL: METRIC - baseline` (one value for each
    seed), `... - baseline, 95 % low` and `... high` (one value), and those of the median, `... - baseline, median, 95 %
    low`. Also `CELL: steps`, at which a trial stopped.
    """
    found: dict[str, np.ndarray] = {}
    columns = {}
    for name, seeds, values in _columns(arms, results, metrics):
        columns[name] = dict(zip(seeds.tolist(), range(len(seeds)), strict=True)), values
        found |= {f"{name}: {metric}": column for metric, column in values.items()}
    if baseline not in columns:
        return found
    place, base = columns[baseline]
    for name, (seeds, values) in columns.items():
        shared = [seed for seed in seeds if seed in place]
        if name == baseline or not shared:
            continue
        ours, theirs = [seeds[seed] for seed in shared], [place[seed] for seed in shared]
        for metric in values.keys() & base.keys():
            difference = values[metric][ours] - base[metric][theirs]
            row = f"{name}: {metric} - {baseline}"
            found |= interval_rows(row, difference)
            found |= interval_ends(f"{row}{MEDIAN}", median_interval(difference))
    return found


def paired_rows(found: Mapping[str, Any], metric: str, baseline: str) -> dict[str, np.ndarray]:
    """`NAME: METRIC - baseline` for every other name in `found` ({"NAME: METRIC": [seeds]}), and its interval."""
    base, rows = found.get(f"{baseline}: {metric}"), {}
    for row, values in found.items() if base is not None else ():
        name, _, what = row.partition(": ")
        if what == metric and name != baseline:
            rows |= interval_rows(f"{row} - {baseline}", values - base)
    return rows


def paired_references(
    published: Mapping[str, str],
    metric: str,
    bands: Mapping[str, Mapping[str, Any]] = {},
    *,
    baseline: str = BASELINE,
    at_best: bool = False,
) -> list[Reference]:
    """Rows of the difference to the baseline, and of both ends of its interval: {name: what the paper has of it}.

    `bands` has those of single rows: {row: {preset: (low, high)}}; `at_best`: the same at the best validation too.
    """
    made = []
    for name, paper in published.items():
        for behind in ("", AT_BEST) if at_best else ("",):
            for end in ("", ", 95 % low", ", 95 % high"):
                row = f"{name}: {metric}{behind} - {baseline}{end}"
                made.append(Reference(row, "not in the paper" if end or behind else paper, bands.get(row, {})))
    return made


def _columns(arms, results, metrics):
    """Name, seeds and {metric: one value per seed} of every cell."""
    swept = {arm.name: tuple(arm.sweep) for arm in arms}
    for at, result, mask in cells(arms, results):
        values = {}
        for metric in metrics:
            if metric not in result.evaluation:
                continue
            values[metric] = result.final(metric)[mask]
            if result.best_step is not None:
                values[metric + AT_BEST] = result.at_best(metric)[mask]
        if result.stopped_at is not None:
            stopped = result.stopped_at[mask]
            values["steps"] = np.where(stopped > 0, stopped, result.num_steps).astype(float)
        yield cell_name(at, swept[at["arm"]]), np.asarray(result.trials.seeds)[mask], values
