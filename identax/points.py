"""Where in an experiment's settings a result stands: coordinates from arms and their sweeps, never from a name."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from identax.experiment import Arm
from identax.run.results import Results

__all__ = ["cells", "points"]

Coordinates = dict[str, Any]
"""fields of an arm's config, the swept ones at their value in a cell; and the arm's name under "arm" """


def points(
    arms: Sequence[Arm], results: Mapping[str, Results], *, pooled: Collection[str] = ()
) -> Iterator[tuple[Coordinates, dict[str, np.ndarray]]]:
    """Yields the coordinates and the last values [seeds, ...] of every metric, per cell of every arm that was run.

    Arguments and order as of `cells`.
    """
    for at, result, mask in cells(arms, results, pooled=pooled):
        yield at, {name: result.final(name)[mask] for name in result.evaluation}


def cells(
    arms: Sequence[Arm], results: Mapping[str, Results], *, pooled: Collection[str] = ()
) -> Iterator[tuple[Coordinates, Results, Bool[np.ndarray, " T"]]]:
    """Yields coordinates, results and the mask over trials, per cell of the sweep of every arm that was run.

    Cells are in the order of the arm's sweep, its last field fastest, and are told apart by the exact values of the
    trials: 0 and 1e-9 are two cells. Fields in `pooled` are not told apart: their trials count as further seeds, and
    their coordinate is the tuple of all values. So do trials of a sweep that the arm does not know, as one from the
    command line. An arm without a sweep is one cell.
    """
    for arm in arms:
        if arm.name not in results:
            continue
        result = results[arm.name]
        known: Coordinates = {**vars(arm.config), "arm": arm.name}
        told_apart = []
        for field, given in arm.sweep.items():
            levels = _levels(np.asarray(result.trials.hparams[field]), given)
            if field in pooled:
                known[field] = tuple(value for value, _ in levels)
            else:
                told_apart.append([(field, value, mask) for value, mask in levels])
        for cell in itertools.product(*told_apart):
            mask = np.logical_and.reduce([np.ones(len(result.trials), bool), *(mask for _, _, mask in cell)])
            if mask.any():
                yield known | {field: value for field, value, _ in cell}, result, mask


def _levels(column: np.ndarray, given: Sequence[Any]) -> list[tuple[Any, Bool[np.ndarray, " T"]]]:
    """Values of a traced field [T, ...] in order of appearance, as the sweep gives them, and the trials of each."""
    rows = column.reshape(len(column), -1)
    first = sorted(np.unique(rows, axis=0, return_index=True)[1])
    return [(_as_given(column[index], given), (rows == rows[index]).all(axis=1)) for index in first]


def _as_given(value: Any, given: Sequence[Any]) -> Any:
    """The entry of the sweep that became `value`, in its own precision or (also when read from a record) in float32."""
    for kind in (np.float64, np.float32):
        for entry in given:
            if np.array_equal(np.asarray(entry, kind), np.asarray(value, kind)):
                return entry
    return np.asarray(value).tolist()
