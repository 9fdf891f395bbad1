"""The options of the command line, and how its words become presets, sweeps and configs."""

import dataclasses
import difflib
import math
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments import registry

REPEATABLE = ("--sweep", "--arm")


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where and how to run; none of it changes the numbers beyond float tolerance."""

    data_devices: int = 1
    """devices that share the batch of each trial"""
    trial_map: Literal["auto", "vmap", "map"] = "auto"
    """how the trials of one device run: batched, or one after the other; "auto": batched, on a CPU as the experiment
    says"""
    precision: Literal["highest", "high", "default"] = "highest"
    """of float32 matrix products; "default" leaves it to the hardware"""
    distributed: bool = False
    """call jax.distributed.initialize() first (TPU pod, SLURM, Open MPI, Kubernetes)"""
    runs_root: Path = Path("runs")
    """new run directories are made under it"""
    progress: bool = True
    """show a progress bar"""


@dataclasses.dataclass(frozen=True)
class Run:
    """Runs one experiment and writes its report."""

    config: Any
    num_seeds: int | None = None
    """short for --config.num-seeds"""
    seed: int | None = None
    """short for --config.seed"""
    sweep: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=V1,V2,...")] = ()
    """values of traced fields to cross with every arm; compiles once; may be repeated"""
    arm: tuple[str, ...] = ()
    """run only these arms; may be repeated"""
    workdir: Path | None = None
    """run directory; by default a new one under runs-root"""
    resume: bool = False
    """continue the run in workdir; preset and config must be the same"""
    tracker: Literal["tensorboard", "wandb"] | None = None
    """also log there (extra `trackers`)"""
    machine: Annotated[Machine, tyro.conf.OmitArgPrefixes] = dataclasses.field(default_factory=Machine)


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Runs a tier of every experiment (or of those named) and prints one table; exit code 1 if a row is out of band."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """experiments (paper/experiment) or whole papers"""
    tier: Literal["smoke", "quick", "medium", "paper"] = "quick"
    jobs: int = 0
    """experiments at a time, each in its own process; 0: one per core of a CPU (at most 4), one on accelerators"""
    machine: Annotated[Machine, tyro.conf.OmitArgPrefixes] = dataclasses.field(default_factory=Machine)


def parse_run(name: str, module: Any, arguments: list[str]) -> tuple[str, Any, dict[str, list[float]], Run]:
    """Returns preset, config, sweep and the other options of `run name ...`.

    The preset is taken out first, because the defaults of `--config.FIELD` are its values. Raises `ValueError` for
    an unknown preset, arm or traced field, two numbers for one field and an option without its value; tyro exits with
    code 2 for what its own types refuse.
    """
    preset, rest = _take_preset(arguments)
    if rest == arguments and preset not in module.PRESETS and {"-h", "--help"} & set(rest):
        preset = next(iter(module.PRESETS))  # help for experiments without `quick`
    registry.require("preset", preset, list(module.PRESETS))
    default = module.PRESETS[preset]
    kind = dataclasses.make_dataclass("Run", [("config", type(default), default)], bases=(Run,), frozen=True)
    check_options(f"run {name}", rest, [*options_of(Run), *options_of(default, "config."), "--preset"])
    about = f"{Run.__doc__} Presets: {', '.join(f'--preset {one}' for one in module.PRESETS)}; here: {preset}."
    given: Any = tyro.cli(kind, args=_merge(rest), prog=f"python -m experiments run {name}", description=about)
    overrides = {field: value for field in ("num_seeds", "seed") if (value := getattr(given, field)) is not None}
    for field, value in overrides.items():
        if getattr(given.config, field) not in (getattr(default, field), value):
            short, there = field.replace("_", "-"), getattr(given.config, field)
            raise ValueError(f"run: found --{short} {value} and --config.{short} {there}, wanted one of the two")
    config = dataclasses.replace(given.config, **overrides)
    for arm in given.arm:
        registry.require("arm", arm, [one.name for one in module.arms(config)])
    if given.resume and given.workdir is None:
        raise ValueError("run: found --resume without --workdir, wanted the folder of the run to continue")
    return preset, config, parse_sweep(given.sweep, module.TRACED), given


def options_of(owner: Any, prefix: str = "") -> list[str]:
    """The options of a dataclass, or of one with its values, but its `config`; the `machine` has no prefix."""
    found = []
    for field in dataclasses.fields(owner):
        if field.name in ("machine", "config"):
            found += options_of(Machine) if field.name == "machine" else []
            continue
        name = prefix + field.name.replace("_", "-")
        value = getattr(owner, field.name, field.default)
        found.append(f"--{name}")
        if isinstance(value, bool) or field.type in (bool, "bool"):
            *groups, last = name.split(".")
            found.append(f"--{'.'.join([*groups, f'no-{last}'])}")
    return found


def check_options(where: str, arguments: Sequence[str], known: Sequence[str]) -> None:
    """Ends with code 2 and the nearest option for one that is not known; parts of a known one ("--config.x.y") are.

    Ends as tyro does for what it refuses, which knows neither `--preset` nor `--debug`.
    """
    known = [*known, "--debug", "--help"]
    for argument in arguments:
        option = argument.partition("=")[0].replace("_", "-")
        if not option.startswith("--") or option in known or option.startswith(tuple(f"{one}." for one in known)):
            continue
        near = difflib.get_close_matches(option, known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"error: {where}: found option {option!r}, wanted one that --help lists{hint}", file=sys.stderr)
        raise SystemExit(2)


def parse_sweep(texts: Sequence[str], traced: Sequence[str]) -> dict[str, list[float]]:
    """Turns `("learning_rate=1e-3,1e-4", ...)` into lists of numbers; raises `ValueError` for anything else."""
    sweep: dict[str, list[float]] = {}
    for text in texts:
        field, _, listed = text.partition("=")
        field = field.replace("-", "_")
        registry.require("sweep over", field, traced)
        if field in sweep:
            raise ValueError(f"--sweep: found {field!r} twice, wanted all its values in one list")
        try:
            values = [float(value) for value in listed.split(",")]
        except ValueError:
            values = [math.nan]
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"--sweep: found {text!r}, wanted FIELD=V1,V2,... with finite numbers")
        sweep[field] = values
    return sweep


def make_config(module: Any, values: dict[str, Any]) -> Any:
    """The config of an experiment from its JSON form (lists become the tuples they were).

    Raises `ValueError` when the experiment's fields are no longer those of the record.
    """
    kind = type(next(iter(module.PRESETS.values())))
    hints = typing.get_type_hints(kind)
    if values.keys() != hints.keys():
        differing = sorted(values.keys() ^ hints.keys())
        raise ValueError(f"found a record whose config differs from today's in the fields {differing}")
    tuples = {name for name, hint in hints.items() if typing.get_origin(hint) is tuple}
    return kind(**{name: tuple(value) if name in tuples else value for name, value in values.items()})


def _take_preset(arguments: list[str]) -> tuple[str, list[str]]:
    """Takes `--preset NAME` or `--preset=NAME` out of the arguments."""
    for index, argument in enumerate(arguments):
        if argument.startswith("--preset="):
            return argument.split("=", 1)[1], arguments[:index] + arguments[index + 1 :]
        if argument == "--preset":
            if index + 1 == len(arguments):
                raise ValueError("run: found --preset without a name")
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
    return "quick", arguments


def _merge(arguments: list[str]) -> list[str]:
    """Gathers the values of repeated options behind one flag: of `--arm a --arm b` tyro would keep `b` alone."""
    gathered: dict[str, list[str]] = {}
    rest, flag = [], None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("-"):
            flag = name if name in REPEATABLE else None
            if flag:
                gathered.setdefault(flag, []).extend([value] if equals else [])
                continue
        (rest if flag is None else gathered[flag]).append(argument)
    for name, words in gathered.items():
        if not words:
            raise ValueError(f"run: found {name} without a value, wanted one behind it")
    return [*rest, *(word for name, values in gathered.items() for word in (name, *values))]
