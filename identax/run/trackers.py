"""Optional sinks that copy a run's metrics to TensorBoard or Weights & Biases (extra `trackers`)."""

import importlib
import os
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol, SupportsInt, runtime_checkable

import numpy as np

from identax.run.folder import local_folder
from identax.run.progress import mean_sd


@runtime_checkable
class Sink(Protocol):
    """Somewhere metrics go: name -> [T, ...], one entry per trial; `phase` is e.g. "train" or "eval"."""

    def write(self, step: SupportsInt, phase: str, metrics: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class _GuardedSink:
    """A sink whose failures (network, disk) are one warning and its end, never the run's."""

    def __init__(self) -> None:
        self._broken = False

    def write(self, step: SupportsInt, phase: str, metrics: Mapping[str, Any]) -> None:
        if not self._broken:
            self._guarded(self._write, int(step), phase, metrics)

    def close(self) -> None:
        self._guarded(self._close)
        self._broken = True

    def _guarded(self, function, *arguments) -> None:
        try:
            function(*arguments)
        except Exception as error:
            if not self._broken:
                name = type(self).__name__
                warnings.warn(
                    f"{name}: {type(error).__name__}: {error}; nothing more is sent to it",
                    RuntimeWarning,
                    stacklevel=3,
                )
            self._broken = True

    def _write(self, step: int, phase: str, metrics: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class TensorBoardSink(_GuardedSink):
    """Writes TensorBoard event files: a run `mean` (and `sd`) and one run per trial, `trial-000` and so on.

    `directory`: where; `max_trials`: how many trials get a run of their own; `start_step`: a resumed run's
    first step, from which older events are hidden. Tags are `phase/metric`, and `phase/metric/i` for entry i
    of a vector.
    Raises `ImportError` naming the extra where tensorboardX is missing.
    """

    def __init__(self, directory: str | os.PathLike, *, max_trials: int = 16, start_step: int | None = None):
        super().__init__()
        self._module = _require("tensorboardX")
        self._directory = local_folder("TensorBoardSink", directory)
        self._max_trials, self._start_step = max_trials, start_step
        self._writers: dict[str, Any] = {}

    def _write(self, step: int, phase: str, metrics: Mapping[str, Any]) -> None:
        for tag, values in _columns(phase, metrics):
            mean, sd, n = mean_sd(values)
            if n:
                self._writer("mean").add_scalar(tag, mean, step)
                self._writer("sd").add_scalar(tag, sd, step)
            for trial in np.flatnonzero(np.isfinite(values[: self._max_trials])):
                self._writer(f"trial-{trial:03d}").add_scalar(tag, float(values[trial]), step)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = self._module.SummaryWriter(str(self._directory / run), purge_step=self._start_step)
        return self._writers[run]


class WandbSink(_GuardedSink):
    """Logs to one Weights & Biases run: `phase/metric/mean`, `.../sd` and `.../trial-000` and so on.

    `project`, `name`, `config`, `directory`: as of `wandb.init`; `run_id`: continue that run where it exists;
    `max_trials`: how many trials are logged one by one. Further options go to `wandb.init` unchanged.
    Steps are logged as the metric `step`, so a resumed run may write a step again.
    Raises `ImportError` naming the extra where wandb is missing.
    """

    def __init__(
        self,
        project: str,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        directory: str | os.PathLike | None = None,
        run_id: str | None = None,
        max_trials: int = 16,
        **options: Any,
    ):
        super().__init__()
        self._max_trials = max_trials
        if run_id is not None:
            options = {"id": run_id, "resume": "allow", **options}
        self._run = _require("wandb").init(
            project=project,
            name=name,
            config=None if config is None else dict(config),
            dir=None if directory is None else str(local_folder("WandbSink", directory)),
            **options,
        )
        self._run.define_metric("*", step_metric="step")

    def _write(self, step: int, phase: str, metrics: Mapping[str, Any]) -> None:
        row: dict[str, Any] = {"step": step}
        for tag, values in _columns(phase, metrics):
            mean, sd, n = mean_sd(values)
            if n:
                row |= {f"{tag}/mean": mean, f"{tag}/sd": sd}
            row |= {f"{tag}/trial-{i:03d}": float(value) for i, value in enumerate(values[: self._max_trials])}
        self._run.log(row)

    def _close(self) -> None:
        self._run.finish()


def require_tracker(name: str) -> None:
    """Raises `ImportError` where the package of the tracker "tensorboard" or "wandb" is not installed."""
    _require({"tensorboard": "tensorboardX", "wandb": "wandb"}[name])


def _columns(phase: str, metrics: Mapping[str, Any]) -> list[tuple[str, np.ndarray]]:
    """Flattens every metric [T, ...] to columns [T], each with its tag."""
    columns = []
    for name, value in metrics.items():
        value = np.atleast_1d(np.asarray(value, dtype=np.float64))
        flat = value.reshape(len(value), -1)
        tags = [f"{phase}/{name}"] if value.ndim == 1 else [f"{phase}/{name}/{i}" for i in range(flat.shape[1])]
        columns += zip(tags, flat.T, strict=True)
    return columns


def _require(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{package} cannot be imported ({error}); install it with: pip install 'identax[trackers]'"
        ) from error
