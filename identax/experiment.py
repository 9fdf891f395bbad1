"""What an experiment is: its configs, its arms (and which starts after which), and the names its module defines."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from identax.report.outcome import Reference
from identax.report.page import Figure
from identax.run.results import Results
from identax.study import HostTrial, Study

__all__ = ["Arm", "ExperimentModule", "Reference", "RunConfig"]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One study of an experiment: a complete config, and values of traced fields to cross with the seeds.

    With `after`, every trial starts from the `after_state` ("final", or "best" where that arm's study says which) of
    the trial of the same seed in that arm, which `arms` lists before; a single trial there serves all. Its study has
    `init(key, hparams, before)`, its trial function is `trial(key, hparams, before)`. Batch size, schedule, optimiser
    and the kind of state may differ between both.
    `fixed` are traced fields that `--sweep` does not cross with this arm, because its study does not read them: so
    pre-training runs once, whatever is swept afterwards.
    """

    name: str
    config: Any
    sweep: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    after: str | None = None
    after_state: Literal["final", "best"] = "final"
    fixed: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How many trials run for how long: the base of every experiment's `Config`, which adds fields of its own.

    A `Config` is `@dataclass(frozen=True, kw_only=True)` as this is, so that no field depends on the order of others.
    """

    num_seeds: int = 5
    """trials of each cell of a sweep; seed i starts from the same key in every cell and arm"""
    seed: int = 0
    """root of the keys of all trials"""
    num_steps: int = 0
    """0: a function `trial(key, hparams)`, which has none"""
    log_every: int = 1
    """steps of a chunk; a row holds the mean over it"""
    evaluate_every: int = 1
    """steps between evaluations, a multiple of `log_every`"""
    checkpoint_every: int = 1
    """steps between saved states, a multiple of `log_every`"""
    block_size: int | None = None
    """trials of a block, for functions `trial(key, hparams)`; by default what memory allows, one on the host"""


@runtime_checkable
class ExperimentModule(Protocol):
    """The names a module `experiments/<paper>/<experiment>.py` defines.

    `Config` extends `RunConfig`; its numeric fields named in `TRACED` become traced hyper-parameters.

    `premises` returns an assumption report per arm, or in its place a function without arguments that makes it, so
    that arms left out cost nothing. A module whose studies do not sample for themselves also defines
    `batches(config, shard)`: given an arm's config it returns the endless iterator that feeds the arm, or None for an
    arm that needs none, and refuses a data set that is not there. `shard` is for `epoch_batches`. All trials of an arm
    see the same batches: what shall differ between seeds (augmentations, noise) is drawn in the step from the trial's
    key. An iterator with `get_state()` and `set_state()` is resumed by them.
    """

    __doc__: str | None
    PRESETS: Mapping[str, Any]
    TRACED: Sequence[str]
    REFERENCES: Sequence[Reference]

    def arms(self, config: Any) -> Sequence[Arm]: ...
    def build(self, config: Any) -> Study | HostTrial | Callable[..., Any]: ...
    def premises(self, config: Any) -> Mapping[str, Any]: ...
    def measure(self, config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]: ...
    def figures(self, config: Any, results: Mapping[str, Results]) -> Sequence[Figure]: ...
