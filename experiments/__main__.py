"""Command line: `python -m experiments list | run | reproduce | report`.

    python -m experiments list
    python -m experiments run aninfonce/synthetic --preset quick --num-seeds 8 --sweep learning_rate=1e-3,3e-3
    python -m experiments run aninfonce/synthetic --config.dim 8 --arm bimodal
    python -m experiments reproduce --tier quick aninfonce
    python -m experiments report runs/aninfonce/synthetic/quick-...

Exit codes: 0 done (and in band), 1 a row is out of band, 2 bad input, 75 interrupted and saved.
"""

import dataclasses
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro
from rich.console import Console
from rich.table import Table

from experiments import registry
from identax.run import Interrupted, make_mesh
from identax.run.experiment import Options, Outcome, load_outcome, new_workdir, run_experiment
from identax.run.report import comparison_table
from identax.run.trackers import TensorBoardSink, WandbSink

COMMANDS = ("list", "run", "reproduce", "report")
Tier = Literal["smoke", "quick", "medium", "paper"]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where and how to run; none of it changes the numbers beyond float tolerance."""

    data_devices: int = 1
    """devices that share the batch of each trial"""
    trial_map: Literal["vmap", "map"] = "vmap"
    """how the trials of one device run: batched, or one after the other"""
    precision: Literal["highest", "high", "default"] = "highest"
    """of float32 matrix products; the default is the same on every backend"""
    distributed: bool = False
    """call jax.distributed.initialize() first (TPU pod, SLURM, Open MPI, Kubernetes)"""
    runs_root: Path = Path("runs")
    """new run directories are made under it"""


@dataclasses.dataclass(frozen=True)
class Run:
    """Runs one experiment and writes its report."""

    config: Any
    num_seeds: int | None = None
    seed: int | None = None
    sweep: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=V1,V2,...")] = ()
    """values of traced fields to cross with every arm; compiles once"""
    arm: tuple[str, ...] = ()
    """run only these arms"""
    workdir: Path | None = None
    """default: a new folder under runs-root"""
    resume: bool = False
    """continue the run in workdir"""
    tracker: Literal["tensorboard", "wandb"] | None = None
    progress: bool = True
    machine: Annotated[Machine, tyro.conf.OmitArgPrefixes] = dataclasses.field(default_factory=Machine)


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Runs a tier of every experiment (or of those named) and prints one table; exit code 1 if a row is out of band."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    tier: Tier = "quick"
    machine: Annotated[Machine, tyro.conf.OmitArgPrefixes] = dataclasses.field(default_factory=Machine)


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatches; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    command, *rest = arguments
    try:
        registry.require("command", command, list(COMMANDS))
        return {"list": _list, "run": _run, "reproduce": _reproduce, "report": _report}[command](rest)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return int(stopped.code or 0)
    except (ValueError, ImportError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _list(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"list takes no arguments, found {arguments}")
    table = Table("experiment", "what it shows", "presets")
    for name, line in registry.summaries().items():
        table.add_row(name, line, ", ".join(registry.load(name).PRESETS))
    Console().print(table)
    return 0


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"run: found no experiment name, wanted one of {list(registry.summaries())}")
    name, *rest = arguments
    module = registry.load(name)
    preset, rest = _take_preset(rest)
    registry.require("preset", preset, list(module.PRESETS))
    default = module.PRESETS[preset]
    kind = dataclasses.make_dataclass("Run", [("config", type(default), default)], bases=(Run,), frozen=True)
    given: Any = tyro.cli(kind, args=rest, prog=f"experiments run {name} --preset {preset}", description=Run.__doc__)
    overrides = {field: value for field in ("num_seeds", "seed") if (value := getattr(given, field)) is not None}
    config = dataclasses.replace(given.config, **overrides)
    sweep = dict(_parse_sweep(text, module) for text in given.sweep)
    for arm in given.arm:
        registry.require("arm", arm, [one.name for one in module.arms(config)])
    if given.resume and given.workdir is None:
        raise ValueError("run: found --resume without --workdir, wanted the folder of the run to continue")
    mesh = _start(given.machine)
    workdir = given.workdir or new_workdir(given.machine.runs_root, name, preset)
    options = _options(given.machine, mesh, workdir, given.resume, given.progress)
    options = dataclasses.replace(options, only=given.arm, sinks=_sinks(given.tracker, name, workdir))
    outcome = run_experiment(module, name, preset, config=config, sweep=sweep, options=options, say=_say)
    return _conclude([outcome])


def _reproduce(arguments: list[str]) -> int:
    given = tyro.cli(Reproduce, args=arguments, prog="experiments reproduce")
    names = registry.matching(list(given.names))
    mesh = _start(given.machine)
    outcomes = []
    for name in names:
        module = registry.load(name)
        if given.tier not in module.PRESETS:
            continue
        workdir = new_workdir(given.machine.runs_root, name, given.tier)
        options = _options(given.machine, mesh, workdir, False, True)
        outcomes.append(run_experiment(module, name, given.tier, options=options, say=_say))
    return _conclude(outcomes)


def _report(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise ValueError(f"report takes one run directory, found {arguments}")
    return _conclude([load_outcome(registry.load, Path(arguments[0]), make_config)])


def make_config(module: Any, values: dict[str, Any]) -> Any:
    """The config dataclass of an experiment from its JSON form (lists become the tuples they were)."""
    kind = type(next(iter(module.PRESETS.values())))
    hints = typing.get_type_hints(kind)
    tuples = {name for name, hint in hints.items() if typing.get_origin(hint) is tuple}
    return kind(**{name: tuple(value) if name in tuples else value for name, value in values.items()})


def _take_preset(arguments: list[str]) -> tuple[str, list[str]]:
    """Takes `--preset NAME` or `--preset=NAME` out of the arguments: the other options' defaults depend on it."""
    for index, argument in enumerate(arguments):
        if argument.startswith("--preset="):
            return argument.split("=", 1)[1], arguments[:index] + arguments[index + 1 :]
        if argument == "--preset":
            if index + 1 == len(arguments):
                raise ValueError("run: found --preset without a name")
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
    return "quick", arguments


def _parse_sweep(text: str, module: Any) -> tuple[str, list[float]]:
    field, _, values = text.partition("=")
    registry.require("sweep over", field, list(module.TRACED))
    try:
        return field, [float(value) for value in values.split(",")]
    except ValueError:
        raise ValueError(f"--sweep: found {text!r}, wanted FIELD=V1,V2,... with numbers") from None


def _start(machine: Machine) -> Any:
    if machine.distributed:
        jax.distributed.initialize()
    # A documented choice, so that no backend's default decides it.
    jax.config.update("jax_default_matmul_precision", machine.precision)
    return make_mesh(data=machine.data_devices)


def _options(machine: Machine, mesh: Any, workdir: Path, resume: bool, progress: bool) -> Options:
    shown = None if progress else False
    return Options(workdir=workdir, resume=resume, mesh=mesh, trial_map=machine.trial_map, progress=shown)


def _sinks(tracker: str | None, name: str, workdir: Path):
    def make(arm: str) -> list[Any]:
        if tracker == "tensorboard":
            return [TensorBoardSink(workdir / arm / "tensorboard")]
        return [WandbSink("identax", name=f"{name}/{arm}")] if tracker == "wandb" else []

    return make


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)


def _conclude(outcomes: Sequence[Outcome]) -> int:
    if jax.process_index() != 0:
        return 0
    rows = [row for outcome in outcomes for row in outcome.comparisons]
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(comparison_table(rows))
    out = [row.quantity for row in rows if row.in_band is False]
    judged = sum(row.in_band is not None for row in rows)
    print(f"{judged - len(out)} of {judged} rows in band" + (f"; out of band: {', '.join(out)}" if out else ""))
    for outcome in outcomes:
        print(f"report: {outcome.report}")
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main())
