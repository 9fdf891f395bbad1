"""Operator less baseline, seed by seed: differences, their intervals, and the rows that all experiments report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identax.experiment import Arm
from identax.paired import median_interval, paired_interval
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
            found[row] = difference
            for of, interval in (("", paired_interval), (MEDIAN, median_interval)):
                ends = interval(difference)
                found |= {f"{row}{of}, 95 % {end}": np.array([getattr(ends, end)]) for end in ("low", "high")}
    return found


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
