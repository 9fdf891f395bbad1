"""How all studies of an experiment become one run directory with one report: claimed, run, resumed."""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax import plan
from identax.assumptions import Report
from identax.experiment import Arm, ExperimentModule
from identax.recorded import PREMISES, load_reports
from identax.report.outcome import EXPERIMENT, Outcome, summarise
from identax.run import guard
from identax.run.environment import describe_environment
from identax.run.folder import REFUSALS, Lock, local_folder, make_folder
from identax.run.interrupt import StopRequest
from identax.run.mesh import TrialMap, agree
from identax.run.records import write_json
from identax.run.refusals import is_refusal
from identax.run.results import Results
from identax.run.runner import KEEP_CHECKPOINTS, run
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
    Raises `ValueError` for an unknown preset, arm or traced field, a changed field of `config` that no arm reads, and
    what the module's `build` and `batches` raise; then no run directory has been claimed.
    """
    if preset not in module.PRESETS:
        raise ValueError(f"{name}: found preset {preset!r}, wanted one of {sorted(module.PRESETS)}")
    if options.workdir is not None:
        options = dataclasses.replace(options, workdir=local_folder("run: --workdir", options.workdir))
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
    plan.check_overrides(module, name, preset, config)
    arms = plan.chosen_arms(module, name, config, options.only, sweep)
    reports = plan.reports_of(module, config, [arm.name for arm in arms])
    settings = {
        "experiment": name,
        "preset": preset,
        "unchanged": config == module.PRESETS[preset] and not sweep,
        "config": dataclasses.asdict(config),
        "sweep": {field: list(values) for field, values in sweep.items()},
    }
    studies, feeds = agree(lambda: plan.built(module, arms, options.mesh))
    trials = {arm.name: plan.trials_of(module, arm) for arm in arms}
    sizes = agree(lambda: plan.fitting(arms, studies, trials, options.mesh))
    with _claimed(options, settings, reports, [arm.name for arm in arms]) as still_there:
        folder = options.workdir
        if folder is not None and not options.resume:
            agree(lambda: guard.check_disk_of_all(folder, sizes, KEEP_CHECKPOINTS))
        for arm, report in reports.items():
            say("\n".join([f"{name} / {arm}", *(f"  {line}" for line in report.lines())]))
        results: dict[str, Results] = {}
        for arm in arms:
            # Not earlier: premises and builds are waited for, so that there is a folder to go on in.
            stop.answer(saved=options.workdir is not None, where=f"before arm {arm.name!r}")
            agree(still_there)
            with _naming(name, arm):
                before = None if arm.after is None else results[arm.after]
                own = trials[arm.name], feeds.pop(arm.name), before
                results[arm.name] = _run_arm(name, arm, studies[arm.name], *own, options)
        agree(still_there)
        return summarise(module, settings, config, results, reports, options.workdir)


def _run_arm(
    name: str, arm: Arm, study: Any, trials: Trials, batches: Any, before: Results | None, options: Options
) -> Results:
    folder = None if options.workdir is None else options.workdir / arm.name
    return run(
        study,
        trials,
        batches=batches,
        num_steps=arm.config.num_steps,
        log_every=arm.config.log_every,
        evaluate_every=arm.config.evaluate_every,
        checkpoint_every=arm.config.checkpoint_every,
        block_size=None if isinstance(study, Study) else getattr(arm.config, "block_size", None),
        mesh=options.mesh,
        trial_map=options.trial_map,
        workdir=folder,
        resume=options.resume and folder is not None and folder.exists(),
        config=dataclasses.asdict(arm.config),
        sinks=options.sinks(arm.name),
        progress=options.progress,
        title=f"{name} / {arm.name}",
        after=before,
        after_state=arm.after_state,
    )


@contextlib.contextmanager
def _naming(name: str, arm: Arm) -> Iterator[None]:
    """What is refused of an arm that starts after another one names both."""
    try:
        yield
    except ValueError as error:
        if arm.after is None or not is_refusal(error):
            raise
        raise ValueError(f"{name}: arm {arm.name!r}, which starts after {arm.after!r}: {error}") from error


@contextlib.contextmanager
def _claimed(
    options: Options, settings: dict[str, Any], reports: Mapping[str, Report], arms: Sequence[str]
) -> Iterator[Callable[[], None]]:
    """Holds the run directory, which process 0 alone does, and writes what is known before anything is trained.

    Gives a function that raises when the folder is no longer there. What is refused before an arm was begun leaves
    nothing behind, so that the corrected command may have the folder.
    """
    folder, written = options.workdir, False
    if folder is None:
        yield lambda: None
        return
    with contextlib.ExitStack() as held:
        locks: list[Lock] = []

        def claim():
            nonlocal written
            if jax.process_index() == 0:
                claimed = guard.claimed(folder, settings, resume=options.resume, file=EXPERIMENT)
                locks.append(held.enter_context(claimed))
                known = load_reports(folder)
                write_json(folder / PREMISES, known | {arm: _to_save(report) for arm, report in reports.items()})
                if not (folder / EXPERIMENT).exists():
                    write_json(folder / EXPERIMENT, {"config": settings, "environment": describe_environment()})
                    written = not options.resume

        agree(claim)

        def still_there() -> None:
            for lock in locks:
                lock.check()

        try:
            yield still_there
        except REFUSALS:
            if written:
                _leave(folder, arms)
            raise


def _leave(folder: Path, arms: Sequence[str]) -> None:
    """Takes back what was written of a run of which no arm was begun."""
    for arm in arms:
        with contextlib.suppress(OSError):  # what is not there, or not empty
            (folder / arm).rmdir()
    if not any((folder / arm).exists() for arm in arms):
        for name in (EXPERIMENT, PREMISES):
            (folder / name).unlink(missing_ok=True)


def _to_save(report: Report) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return value if value is None or isinstance(value, str) else np.asarray(value).item()

    parts = {"premises": report.premises, "predictions": report.predictions}
    return {name: [{k: plain(v) for k, v in vars(one).items()} for one in part] for name, part in parts.items()}


def new_workdir(root: Path, name: str, preset: str) -> Path:
    """A fresh folder `root/<name>/<preset>-<UTC time>`, with a number behind it where another run has that one.

    Process 0 makes it, so that it is nobody else's. Raises `ValueError` where it cannot be made.
    """
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    wanted = local_folder("run: --runs-root", root) / name / f"{preset}-{stamp}"
    return make_folder(wanted) if jax.process_index() == 0 else wanted
