"""What a run returns: arrays with a leading trial axis, never averaged away."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from identax.columns import equals_given
from identax.run.records import Row, history
from identax.run.trial_records import trial_history
from identax.study import Trials

WAITED = "waiting for data"


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that a study measured.

    `train[name]` is [T, L, ...] at `train_steps` [L]: the value of step 1, then the mean over each chunk of
    `log_every` steps that ends there. `evaluation[name]` is [T, E, ...] at `evaluation_steps` [E]. `failed_at`
    [T] is the first step whose loss was not finite (0: none; num_steps + 1: the last update made it so); such a
    trial stays at its state before that chunk and its later values are NaN. `state` is the final trial-batched
    state. `seconds` has `compile` and `run` apart; where a loader feeds the study also `WAITED`, the part of `run` in
    which the device had nothing to do because the next batches were not there.
    `arrays[name][step]` [T, ...] is what the study kept, of failed trials NaN (zero where there is no NaN). Where the
    study says which state is best, `best_state` is trial-batched, `best_step` [T] says after how many steps it was
    reached, and `stopped_at` [T] when patience was over (0: never).
    """

    trials: Trials
    num_steps: int
    train_steps: np.ndarray
    train: dict[str, np.ndarray]
    evaluation_steps: np.ndarray
    evaluation: dict[str, np.ndarray]
    failed_at: np.ndarray
    state: Any
    seconds: dict[str, float]
    workdir: Path | None = None
    arrays: Mapping[str, Mapping[int, np.ndarray]] = dataclasses.field(default_factory=dict)
    best_step: np.ndarray | None = None
    best_state: Any = None
    stopped_at: np.ndarray | None = None

    def __repr__(self) -> str:
        names = f"train {sorted(self.train)}, evaluation {sorted(self.evaluation)}"
        failed = int((np.asarray(self.failed_at) > 0).sum())
        return f"Results({len(self.trials)} trials, {failed} failed; {self.num_steps} steps; {names})"

    def final(self, name: str) -> np.ndarray:
        """Last evaluated value of metric `name`, [T, ...]. Raises `ValueError` for an unknown name."""
        if name not in self.evaluation:
            where = f"; it is in train[{name!r}]" if name in self.train else ""
            raise ValueError(f"Results.final: found {name!r}, wanted one of {sorted(self.evaluation)}{where}")
        return self.evaluation[name][:, -1]

    def at_best(self, name: str) -> np.ndarray:
        """Evaluated value of metric `name` at the best state of each trial, [T, ...].

        Raises `ValueError` for an unknown name, or when the study did not say which state is best.
        """
        if self.best_step is None:
            raise ValueError("Results.at_best: found a study without `best`, wanted one that says which state is best")
        self.final(name)
        place = np.searchsorted(self.evaluation_steps, self.best_step)
        return self.evaluation[name][np.arange(len(place)), place]

    def kept(self, name: str, step: int | None = None) -> np.ndarray:
        """The kept array `name` [T, ...] after `step` steps, by default the last; `ValueError` if it is not there."""
        if name not in self.arrays:
            raise ValueError(f"Results.kept: found {name!r}, wanted one of {sorted(self.arrays)}")
        found = self.arrays[name]
        step = max(found) if step is None else step
        if step not in found:
            raise ValueError(f"Results.kept: found step {step} of {name!r}, wanted one of {sorted(found)}")
        return found[step]

    def where(self, **values: Any) -> np.ndarray:
        """Mask [T] of the trials whose scalar hyper-parameters were given as `values`: equal in the trials' dtype.

        Raises `ValueError` for an unknown name, one that is no single number per trial, and values that are none.
        """
        mask = np.ones(len(self.trials), bool)
        for name, value in values.items():
            if name not in self.trials.hparams:
                raise ValueError(f"Results.where: found {name!r}, wanted one of {sorted(self.trials.hparams)}")
            column = np.asarray(self.trials.hparams[name])
            if column.ndim != 1 or np.ndim(value):
                raise ValueError(
                    f"Results.where: found {name}={value!r} for values of shape {column.shape[1:]} per trial, wanted a "
                    "single number for single numbers"
                )
            mask &= equals_given(column, value)
        return mask

    @staticmethod
    def from_rows(rows: list[Row], **fields: Any) -> "Results":
        """Builds the arrays out of recorded rows."""
        train_steps, train = history(rows, "train")
        without_steps = any(row["kind"] == "trial" for row in rows)
        evaluation_steps, evaluation = trial_history(rows) if without_steps else history(rows, "eval")
        return Results(
            train_steps=train_steps, train=train, evaluation_steps=evaluation_steps, evaluation=evaluation, **fields
        )


def final_values(results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """The last value of every evaluated metric, one per trial, as `arm: metric`."""
    return {f"{arm}: {name}": result.final(name) for arm, result in results.items() for name in result.evaluation}
