"""The sine series as a task: forecasts of its next entry, and what predictors that learn nothing reach."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from experiments.wmm.config import TrainingConfig
from experiments.wmm.examples import Examples, held, of_series
from experiments.wmm.training import Task
from identax.checks import check_choice, check_count
from identax.data import Windows, sine_forecasts, validation_windows
from identax.models import lstm_network
from identax.study import HostTrial

CHANNELS = 3
FIRST_AND_LAST = (0, 47, 48, 49)
"""of a window of 50: the entry half a period ago, without which the chirp cannot be foretold, four steps away instead
of fifty"""
PUBLISHED_WINDOW = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class SineConfig(TrainingConfig):
    """One LSTM network on the series. The defaults are the published setting but for the validation windows."""

    num_train: int = 60_000
    num_test: int = 10_000
    """windows of both parts of the series; they fix where on the series the parts lie"""
    window: int = 50
    entries: tuple[int, ...] = ()
    """numbers of the entries of a window that the network sees, in order; (): all"""
    units: tuple[int, ...] = (40, 50)
    """of the LSTM's layers"""
    validation: Literal["block", "published"] = "block"
    """"block": the last windows behind a gap, no entry of which is trained on; "published": drawn at random, so that
    nearly all of their entries are"""
    num_validation: int = 5000
    grid_p: tuple[float, ...] = ()
    grid_c: tuple[float, ...] = ()
    """strengths beside the published ones, all crossed"""
    num_scored: int = 0
    """test windows that are scored, evenly spaced; 0: all"""
    num_steps: int = 20_000
    log_every: int = 100
    evaluate_every: int = 200
    checkpoint_every: int = 2000
    patience: int = 0
    num_seeds: int = 8


def squared_error(outputs: Any, targets: Any) -> Any:
    """Mean over channels of squared errors, [N, 3] -> [N]: what PyTorch's loss averages."""
    return jnp.mean((outputs - targets) ** 2, axis=-1)


def errors(outputs: Any, targets: Any) -> dict[str, Any]:
    """`MSE` and `MAE` as published, sums over the channels, and `MSE per element`; of JAX's or NumPy's arrays."""
    square, size = ((outputs - targets) ** 2).sum(axis=-1).mean(), abs(outputs - targets).sum(axis=-1).mean()
    return {"MSE": square, "MAE": size, "MSE per element": square / targets.shape[-1]}


def sine_parts(config: SineConfig, mixing: str) -> tuple[Examples, Examples, Windows]:
    """Training and validation examples, and the scored test windows; validation is a part of the training series.

    Raises `ValueError` for another validation, counts that do not fit, and entries that a window lacks.
    """
    check_choice("wmm: sine series", "validation", config.validation, ("block", "published"))
    check_count("wmm: sine series", "num_scored", config.num_scored, 0)
    seen = list(config.entries) or list(range(config.window))
    if sorted(set(seen) & set(range(config.window))) != seen:
        found = f"entries={config.entries} of windows of {config.window}"
        raise ValueError(f"wmm: sine series: found {found}, wanted numbers from 0 to {config.window - 1} that rise")
    train, test = forecasts(mixing, config.num_train, config.num_test, config.window)
    gap = config.window if config.validation == "block" else None
    rows, held_out = validation_windows(config.num_train, config.num_validation, length=gap)
    scored = test.part(scored_rows(config))
    return (
        of_series(train, rows, seen),
        of_series(train, held_out, seen),
        scored._replace(inputs=scored.inputs[:, seen]),
    )


def scored_rows(config: SineConfig) -> Any:
    """Indices of the test windows that are scored."""
    num = min(config.num_scored or config.num_test, config.num_test)
    return np.linspace(0, config.num_test - 1, num).round().astype(int)


@functools.lru_cache(maxsize=4)
def forecasts(mixing: str, num_train: int, num_test: int, window: int) -> tuple[Windows, Windows]:
    """`sine_forecasts`, made once for all arms."""
    return sine_forecasts(mixing=mixing, num_train=num_train, num_test=num_test, window=window)


def sine_task(config: SineConfig, mixing: str, targets: Any, scores: Callable[[Any, Any], dict[str, Any]]) -> Task:
    """The published network on the series; `targets` (of the scored windows) go to `scores`, by default their own."""
    train, validation, test = sine_parts(config, mixing)
    scored = held(test.inputs, test.targets if targets is None else targets)
    return Task(lstm_network(config.units, outputs=CHANNELS), train, validation, scored, squared_error, scores)


def published_forecasts(config: SineConfig, mixing: str) -> tuple[Windows, Windows]:
    """Windows of the published length, whatever length the networks see: predictors without parameters need no less."""
    return forecasts(mixing, config.num_train, config.num_test, PUBLISHED_WINDOW)


def predictors(score: Callable[[], dict[str, Any]]) -> HostTrial:
    """A trial that scores what learns nothing, on the host in float64."""
    return HostTrial(lambda key, hparams: score())
