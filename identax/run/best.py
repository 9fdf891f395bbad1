"""The best state of every trial so far, and which trials have waited too long for a better one."""

import math
from typing import Any

import numpy as np

from identax.run.program import Programs
from identax.study import Best


class BestStates:
    """Follows the evaluations of one run: per trial the best value, its step and its state, and early stopping.

    `value`, `step`, `stopped_at` [T] are host arrays: the best value (NaN: none yet), the step of the state that has
    it, and the step at which patience was over (0: not). `state` is trial-batched and padded like the run's own.
    """

    def __init__(self, best: Best, num_trials: int) -> None:
        self.best = best
        self.value = np.full(num_trials, np.nan)
        self.step = np.zeros(num_trials, int)
        self.waited = np.zeros(num_trials, int)  # evaluations since the best one
        self.stopped_at = np.zeros(num_trials, int)
        self.state: Any = None

    def look(self, step: int, values: dict[str, np.ndarray], state: Any, programs: Programs, place: Any) -> None:
        """Takes the evaluation after `step` steps into account; `place(mask [T])` puts a mask on the devices.

        Raises `ValueError` when the evaluation lacks the metric or has it as more than one number per trial.
        """
        found = values.get(self.best.metric)
        if found is None:
            raise ValueError(f"best: found no metric {self.best.metric!r}, wanted one of {sorted(values)}")
        if found.ndim != 1:
            raise ValueError(
                f"best: found {self.best.metric!r} of shape {found.shape[1:]} per trial, wanted a single number"
            )
        sign = -1.0 if self.best.direction == "max" else 1.0
        better = np.isfinite(found) & (np.isnan(self.value) | (sign * found < sign * self.value))
        better &= self.stopped_at == 0
        self.value = np.where(better, found, self.value)
        self.step = np.where(better, step, self.step)
        self.waited = np.where(better, 0, self.waited + 1)
        if self.best.patience is not None:
            self.stopped_at[(self.waited >= self.best.patience) & (self.stopped_at == 0)] = step
        # The first time everybody's: a trial without a finite value yet has no better state than its first.
        chosen = np.ones_like(better) if self.state is None else better
        if chosen.any():
            self.state = programs.choose(place(chosen), state, state if self.state is None else self.state)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps of it beside the states."""
        value = [None if math.isnan(one) else one for one in self.value.tolist()]
        rest = {name: getattr(self, name).tolist() for name in ("step", "waited", "stopped_at")}
        return {"value": value, **rest}

    def from_json(self, saved: dict[str, Any], state: Any) -> None:
        """Goes on from a checkpoint."""
        self.value = np.array(saved["value"], float)  # None becomes NaN
        self.step, self.waited, self.stopped_at = (np.array(saved[n], int) for n in ("step", "waited", "stopped_at"))
        self.state = state
