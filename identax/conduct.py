"""How all studies of an experiment become one run directory with one report: claimed, run, resumed."""

import contextlib
import dataclasses
import datetime
import math
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.assumptions import Report
from identax.experiment import Arm, ExperimentModule
from identax.recorded import PREMISES, load_reports
from identax.report.outcome import EXPERIMENT, Outcome, summarise
from identax.run import guard
from identax.run.environment import describe_environment
from identax.run.interrupt import StopRequest
from identax.run.loader import data_shard
from identax.run.mesh import TrialMap, agree, make_mesh
from identax.run.records import write_json
from identax.run.results import Results
from identax.run.runner import run
from identax.study import Study, Trials


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
    fields with every arm. Premises and predictions go to `say` before anything is trained. A signal anywhere in it
    ends it at the next boundary of a chunk, an arm or the whole, with `Interrupted` and a folder that resumes.
    Raises `ValueError` for an unknown preset, arm or traced field, and what the module's `build` and `batches` raise;
    then no run directory has been claimed.
    """
    if preset not in module.PRESETS:
        raise ValueError(f"{name}: found preset {preset!r}, wanted one of {sorted(module.PRESETS)}")
    config = module.PRESETS[preset] if config is None else config
    double = getattr(module, "FLOAT64", False) or jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    with jax.enable_x64(double), StopRequest() as stop:
        outcome = _run_arms(module, name, preset, config, sweep or {}, options, say, stop)
        stop.answer(saved=options.workdir is not None, where="after the last arm")
        return outcome


def _run_arms(
    module: ExperimentModule,
    name: str,
    preset: str,
    config: Any,
    sweep: Mapping[str, Sequence[float]],
    options: Options,
    say: Callable[[str], None],
    stop: StopRequest,
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
    agree(lambda: _claim(options, settings, reports))
    for arm, report in reports.items():
        say("\n".join([f"{name} / {arm}", *(f"  {line}" for line in report.lines())]))
    results: dict[str, Results] = {}
    for arm in arms:
        folder = None if options.workdir is None else options.workdir / arm.name
        # Not earlier: premises and builds are waited for, so that there is a folder to go on in.
        stop.answer(saved=folder is not None, where=f"before arm {arm.name!r}")
        with _naming(name, arm):
            results[arm.name] = run(
                studies[arm.name],
                trials[arm.name],
                batches=feeds.pop(arm.name),
                num_steps=arm.config.num_steps,
                log_every=arm.config.log_every,
                evaluate_every=arm.config.evaluate_every,
                checkpoint_every=arm.config.checkpoint_every,
                block_size=None if isinstance(studies[arm.name], Study) else getattr(arm.config, "block_size", None),
                mesh=options.mesh,
                trial_map=options.trial_map,
                workdir=folder,
                resume=options.resume and folder is not None and folder.exists(),
                config=dataclasses.asdict(arm.config),
                sinks=options.sinks(arm.name),
                progress=options.progress,
                title=f"{name} / {arm.name}",
                after=None if arm.after is None else results[arm.after],
                after_state=arm.after_state,
            )
    return summarise(module, settings, config, results, reports, options.workdir)


@contextlib.contextmanager
def _naming(name: str, arm: Arm) -> Iterator[None]:
    """What is refused of an arm that starts after another one names both."""
    try:
        yield
    except ValueError as error:
        if arm.after is None:
            raise
        raise ValueError(f"{name}: arm {arm.name!r}, which starts after {arm.after!r}: {error}") from error


def _claim(options: Options, settings: dict[str, Any], reports: Mapping[str, Report]) -> None:
    """Process 0 refuses a run directory of another run and writes what is known before anything is trained."""
    if options.workdir is None or jax.process_index() != 0:
        return
    guard.claim_workdir(options.workdir, settings, resume=options.resume, file=EXPERIMENT)
    known = load_reports(options.workdir)
    write_json(options.workdir / PREMISES, known | {arm: _to_save(report) for arm, report in reports.items()})
    if not (options.workdir / EXPERIMENT).exists():
        write_json(options.workdir / EXPERIMENT, {"config": settings, "environment": describe_environment()})


def _to_save(report: Report) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return value if value is None or isinstance(value, str) else np.asarray(value).item()

    parts = {"premises": report.premises, "predictions": report.predictions}
    return {name: [{k: plain(v) for k, v in vars(one).items()} for one in part] for name, part in parts.items()}


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
    for number, arm in enumerate(arms):
        if arm.after is not None and arm.after not in names[:number]:
            raise ValueError(
                f"{name}: arm {arm.name!r} starts after {arm.after!r}, wanted an arm before it: {names[:number]}"
            )
    wanted = set(only or names)
    for arm in reversed(arms):  # what a chosen arm starts after comes before it, and is run or resumed too
        if arm.name in wanted and arm.after is not None:
            wanted.add(arm.after)
    chosen = [arm for arm in arms if arm.name in wanted]
    return [dataclasses.replace(arm, sweep={**arm.sweep, **_without(arm.fixed, sweep)}) for arm in chosen]


def _without(fixed: Sequence[str], sweep: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    return {field: values for field, values in sweep.items() if field not in fixed}


def _reports(module: ExperimentModule, config: Any, arms: Sequence[str]) -> dict[str, Report]:
    """What the module's premises say of these arms."""
    found: dict[str, Any] = {arm: report for arm, report in module.premises(config).items() if arm in arms}
    return {arm: made() if callable(made) else made for arm, made in found.items()}  # pyright: ignore[reportReturnType]


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
    single = jax.dtypes.canonicalize_dtype(np.float64)
    if kind is float and found.dtype.kind in "iu" and not np.array_equal(found, found.astype(single)):
        raise ValueError(f"sweep: found {field}={values!r}, wanted values that {single} holds")
    return cast
