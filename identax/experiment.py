"""What an experiment module offers, and how all its studies become one run directory with one report."""

import dataclasses
import datetime
import json
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from identax.report.outcome import EXPERIMENT, Outcome, Reference, compare, summarise
from identax.report.page import Figure
from identax.run import guard
from identax.run.environment import describe_environment
from identax.run.loader import data_shard
from identax.run.mesh import TrialMap, agree, make_mesh
from identax.run.records import read_rows, write_json
from identax.run.results import Results
from identax.run.runner import run
from identax.study import Study, Trials

__all__ = [
    "Arm",
    "ExperimentModule",
    "Options",
    "Outcome",
    "Reference",
    "compare",
    "load_outcome",
    "new_workdir",
    "run_experiment",
    "summarise",
]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One study of an experiment: a complete config, and values of traced fields to cross with the seeds."""

    name: str
    config: Any
    sweep: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)


@runtime_checkable
class ExperimentModule(Protocol):
    """The names a module `experiments/<paper>/<experiment>.py` defines.

    `Config` is a frozen dataclass with at least `num_seeds, seed, num_steps, log_every, evaluate_every,
    checkpoint_every` and the numeric fields named in `TRACED`, which become traced hyper-parameters.

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
    def build(self, config: Any) -> Study | Callable[..., Any]: ...
    def premises(self, config: Any) -> Mapping[str, Any]: ...
    def measure(self, config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]: ...
    def figures(self, config: Any, results: Mapping[str, Results]) -> Sequence[Figure]: ...


@dataclasses.dataclass(frozen=True)
class Options:
    """How to run, apart from what: none of it may change the numbers beyond float tolerance."""

    workdir: Path | None = None
    resume: bool = False
    mesh: Mesh | None = None
    trial_map: TrialMap = "vmap"
    progress: bool | None = None
    sinks: Callable[[str], Sequence[Any]] = lambda arm: ()
    only: Sequence[str] = ()


def run_experiment(
    module: ExperimentModule,
    name: str,
    preset: str,
    *,
    config: Any = None,
    sweep: Mapping[str, Sequence[float]] | None = None,
    options: Options = Options(),
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Runs every arm of an experiment and writes `experiment.json`, `summary.json`, `figures/` and `report.html`.

    `config` (default: the preset's own) may differ from the preset; then no band applies. `sweep` crosses traced
    fields with every arm. Premises and predictions go to `say` before anything is trained.
    Raises `ValueError` for an unknown preset, arm or traced field, and what the module's `build` and `batches` raise;
    then no run directory has been claimed.
    """
    if preset not in module.PRESETS:
        raise ValueError(f"{name}: found preset {preset!r}, wanted one of {sorted(module.PRESETS)}")
    config = module.PRESETS[preset] if config is None else config
    double = getattr(module, "FLOAT64", False) or jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    with jax.enable_x64(double):
        return _run_arms(module, name, preset, config, sweep or {}, options, say)


def _run_arms(
    module: ExperimentModule,
    name: str,
    preset: str,
    config: Any,
    sweep: Mapping[str, Sequence[float]],
    options: Options,
    say: Callable[[str], None],
) -> Outcome:
    arms = _chosen_arms(module, name, config, options.only, sweep)
    reports = _reports(module, config, [arm.name for arm in arms])
    settings = {
        "experiment": name,
        "preset": preset,
        "unchanged": config == module.PRESETS[preset] and not sweep,
        "config": dataclasses.asdict(config),
        "sweep": {field: list(values) for field, values in sweep.items()},
    }
    studies, feeds = agree(lambda: _built(module, arms, options.mesh))
    trials = {arm.name: _trials(module, arm) for arm in arms}
    agree(lambda: _claim(options, settings))
    for arm, report in reports.items():
        say("\n".join([f"{name} / {arm}", *(f"  {line}" for line in report.lines())]))
    results = {}
    for arm in arms:
        folder = None if options.workdir is None else options.workdir / arm.name
        results[arm.name] = run(
            studies[arm.name],
            trials[arm.name],
            batches=feeds.pop(arm.name),
            num_steps=arm.config.num_steps,
            log_every=arm.config.log_every,
            evaluate_every=arm.config.evaluate_every,
            checkpoint_every=arm.config.checkpoint_every,
            mesh=options.mesh,
            trial_map=options.trial_map,
            workdir=folder,
            resume=options.resume and folder is not None and folder.exists(),
            config=dataclasses.asdict(arm.config),
            sinks=options.sinks(arm.name),
            progress=options.progress,
            title=f"{name} / {arm.name}",
        )
    return summarise(module, settings, config, results, reports, options.workdir)


def _claim(options: Options, settings: dict[str, Any]) -> None:
    """Process 0 refuses a run directory of another run and writes `experiment.json`, before anything is trained."""
    if options.workdir is None or jax.process_index() != 0:
        return
    guard.claim_workdir(options.workdir, settings, resume=options.resume, file=EXPERIMENT)
    if not (options.workdir / EXPERIMENT).exists():
        write_json(options.workdir / EXPERIMENT, {"config": settings, "environment": describe_environment()})


def load_outcome(
    load: Callable[[str], ExperimentModule], workdir: Path, make_config: Callable[[ExperimentModule, dict], Any]
) -> Outcome:
    """Rebuilds table and page of a finished run directory from its records, without running anything.

    `load(name)` returns the experiment's module, `make_config(module, values)` its config. Raises `ValueError` when
    the directory holds no finished experiment.
    """
    if not (workdir / EXPERIMENT).exists() or not (workdir / "summary.json").exists():
        raise ValueError(f"report: {workdir} lacks {EXPERIMENT} or summary.json, wanted the folder of a finished run")
    settings = json.loads((workdir / EXPERIMENT).read_text())["config"]
    summary = json.loads((workdir / "summary.json").read_text())
    module = load(settings["experiment"])
    config = make_config(module, settings["config"])
    results = {}
    for arm in [arm.name for arm in module.arms(config) if arm.name in summary["failed_at"]]:
        recorded = json.loads((workdir / arm / guard.CONFIG).read_text())["config"]
        hparams = {key: np.array(value) for key, value in recorded["hparams"].items()}
        seeds = np.array(recorded["seeds"])
        results[arm] = Results.from_rows(
            read_rows(workdir / arm / "records.jsonl"),
            trials=dataclasses.replace(Trials.grid(len(seeds)), hparams=hparams, seeds=seeds),
            num_steps=recorded["num_steps"],
            failed_at=np.array(summary["failed_at"][arm]),
            state=None,
            seconds=summary["seconds"][arm],
            workdir=workdir / arm,
        )
    reports = _reports(module, config, list(results))
    return summarise(module, settings, config, results, reports, workdir)


def new_workdir(root: Path, name: str, preset: str) -> Path:
    """A fresh folder `root/<name>/<preset>-<UTC time>`."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return root / name / f"{preset}-{stamp}"


def _chosen_arms(
    module: ExperimentModule, name: str, config: Any, only: Sequence[str], sweep: Mapping[str, Sequence[float]]
) -> list[Arm]:
    arms = list(module.arms(config))
    names = [arm.name for arm in arms]
    unknown = [arm for arm in only if arm not in names]
    if unknown:
        raise ValueError(f"{name}: found arm {unknown[0]!r}, wanted one of {names}")
    unknown = [field for field in sweep if field not in module.TRACED]
    if unknown:
        raise ValueError(f"{name}: found sweep over {unknown[0]!r}, wanted a traced field: {list(module.TRACED)}")
    chosen = [arm for arm in arms if not only or arm.name in only]
    return [dataclasses.replace(arm, sweep={**arm.sweep, **sweep}) for arm in chosen]


def _reports(module: ExperimentModule, config: Any, arms: Sequence[str]) -> dict[str, Any]:
    """What the module's premises say of these arms."""
    found = {arm: report for arm, report in module.premises(config).items() if arm in arms}
    return {arm: report() if callable(report) else report for arm, report in found.items()}


def _built(module: ExperimentModule, arms: Sequence[Arm], mesh: Mesh | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Study and batches of every arm, so that what cannot be had is refused before anything is written.

    A study is built once per static config, so arms that differ in traced fields share their programs. `build` sees
    NaN in every traced field: it must read them from the state's `hparams`.
    """
    studies, feeds, known = {}, {}, {}
    shard = data_shard(make_mesh() if mesh is None else mesh)
    make_batches = getattr(module, "batches", lambda config, shard: None)
    for arm in arms:
        static = dataclasses.replace(arm.config, **dict.fromkeys(module.TRACED, math.nan))
        if repr(static) not in known:
            known[repr(static)] = module.build(static)
        studies[arm.name] = known[repr(static)]
        feeds[arm.name] = make_batches(arm.config, shard)
    return studies, feeds


def _trials(module: ExperimentModule, arm: Arm) -> Trials:
    kinds = typing.get_type_hints(type(arm.config))
    given = {field: arm.sweep.get(field, getattr(arm.config, field)) for field in module.TRACED}
    values = {field: _of_kind(field, kinds.get(field), value) for field, value in given.items()}
    return Trials.grid(arm.config.num_seeds, seed=arm.config.seed, **values)


def _of_kind(field: str, kind: Any, values: Any) -> Any:
    """Values of a traced field in the kind that its annotation says: 30 for a float is the program of 30.0.

    A sweep from the command line brings floats for any field.
    """
    if kind not in (float, int, bool):
        return values
    found = np.asarray(values)
    with np.errstate(invalid="ignore"):
        cast = found.astype(kind)
    if kind is not float and not np.array_equal(found, cast):
        raise ValueError(f"sweep: found {field}={values!r}, wanted values of kind {kind.__name__}")
    return cast
