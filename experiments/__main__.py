"""Command line of the experiments.

    python -m experiments list                        every experiment with its presets
    python -m experiments run NAME [options]          one experiment; `run NAME --help` lists its options
    python -m experiments reproduce [NAME|PAPER ...]  a tier of all, one table; --tier smoke|quick|medium|paper
    python -m experiments report DIR                  table and page again, from the records of a finished run

    python -m experiments run aninfonce/synthetic --preset quick --num-seeds 8 --sweep learning_rate=1e-3,3e-3
    python -m experiments run aninfonce/synthetic --config.dim 8 --arm bimodal

Exit codes: 0 done (and in band), 1 a row is out of band or every trial of an arm failed, 2 bad input (of `reproduce`:
or something could not be run), 70 an error that nobody foresaw, 75 interrupted and saved, 76 another process died, 130
or 143 ended at once by a second Ctrl-C or SIGTERM. `--debug` shows the traceback of an error.
"""

import sys

from experiments import program

if __name__ == "__main__":
    program.listen()  # here, because the imports below take seconds

import contextlib
import dataclasses
import shlex
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.table import Table

from experiments import registry
from experiments.cli import Machine, Reproduce, check_options, make_config, options_of, parse_run
from experiments.faults import EXIT_BAD_INPUT, EXIT_SOFTWARE, code_of, in_a_line, is_lost_peer
from experiments.parallel import Crashed, num_jobs, run_beside
from experiments.streams import steady_streams
from identax.conduct import Options, new_workdir, run_experiment
from identax.recorded import load_outcome
from identax.report import Outcome, comparison_table
from identax.report.outcome import EXPERIMENT, read_outcome
from identax.run import Interrupted, make_mesh, peers
from identax.run.folder import local_folder
from identax.run.interrupt import StopRequest
from identax.run.mesh import agree, exchange
from identax.run.trackers import TensorBoardSink, WandbSink, require_tracker
from identax.run.trial_records import RECORDS

HELP = ("-h", "--help")
EXIT_AT_ONCE = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatches; returns the exit code, which does not depend on whether anybody can read what is printed."""
    with steady_streams():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    command, *rest = [argument for argument in arguments if argument != "--debug"] or [""]
    if command in ("", *HELP) or (command in ("list", "run", "report") and rest[:1] and rest[0] in HELP):
        print(__doc__)
        return 0 if command else 2
    commands = {"list": _list, "run": _run, "reproduce": _reproduce, "report": _report}
    try:
        registry.require("command", command, list(commands))
        with StopRequest(at_once=program.at_once()):
            code = commands[command](rest)
        peers.finished()
        return code
    except Interrupted as stopped:
        _say(str(stopped), file=sys.stderr)
        peers.finished()
        return int(stopped.code or 0)
    except KeyboardInterrupt as second:
        print(f"ended at once: {second}", file=sys.stderr)
        return EXIT_AT_ONCE
    except Exception as error:
        distributed = jax.distributed.is_initialized()
        if distributed and is_lost_peer(error):
            _end_by_jax()
        if distributed:
            peers.failed(f"{type(error).__name__}: {error}")
        if debug and not distributed:
            raise
        print(f"error: {in_a_line(error)}", file=sys.stderr)
        if distributed:  # JAX would wait for the others before it ends, and they for this process
            if debug:
                traceback.print_exc()
            program.end(code_of(error))
        return code_of(error)


def _end_with_the_others(text: str) -> None:
    print(f"error: {text}; what was saved is intact, continue all processes with --resume", file=sys.stderr)
    program.end(peers.EXIT_PEER)


def _end_by_jax() -> None:
    time.sleep(1.0)  # whoever watches the others knows more
    _end_with_the_others("JAX lost another process, or the first one")


def _list(arguments: list[str]) -> int:
    if arguments:
        raise ValueError(f"list: found {arguments}, wanted no arguments")
    table = Table("experiment", "what it shows", "presets")
    for name, entry in registry.discover().items():
        table.add_row(name, entry.line, ", ".join(entry.presets))
    _console().print(table)
    return 0


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"run: found no experiment first, wanted one of {list(registry.discover())}")
    name, *rest = arguments
    module = registry.load(name)
    preset, config, sweep, given = parse_run(name, module, rest)
    options = _start(given.machine)
    if given.tracker is not None:
        require_tracker(given.tracker)
    own = None if given.workdir is None else local_folder("run: --workdir", given.workdir)
    workdir = own or _fresh_workdir(given.machine, name, preset)
    if given.resume:
        agree(lambda: _require_run(workdir))
    options = dataclasses.replace(
        options, workdir=workdir, resume=given.resume, only=given.arm, sinks=_sinks(given.tracker, name, workdir)
    )
    with _removed_if_empty([] if own else [workdir]):
        return _conclude({name: _execute(module, name, preset, options, given.machine, config=config, sweep=sweep)})


def _reproduce(arguments: list[str]) -> int:
    check_options("reproduce", arguments, options_of(Reproduce))
    given = tyro.cli(Reproduce, args=arguments, prog="python -m experiments reproduce")
    modules = {name: registry.load(name) for name in registry.matching(given.names)}
    chosen = {name: module for name, module in modules.items() if given.tier in module.PRESETS}
    if not chosen:
        raise ValueError(f"reproduce: found no preset {given.tier!r} in {list(modules)}")
    options = _start(given.machine)
    for name in modules.keys() - chosen.keys():
        _say(f"left out: {name} has no preset {given.tier!r}")
    jobs = num_jobs(given.jobs, len(chosen), given.machine)
    workdirs = {name: _fresh_workdir(given.machine, name, given.tier) for name in chosen}
    with _removed_if_empty(workdirs.values()):
        if jobs > 1:
            # Every arm compiles for itself, so those with most arms take longest: started last, they would run alone.
            arms = {name: len(module.arms(module.PRESETS[given.tier])) for name, module in chosen.items()}
            longest_first = {name: workdirs[name] for name in sorted(workdirs, key=lambda name: -arms[name])}
            refused = run_beside(longest_first, given.tier, given.machine, jobs, _say)
            done = [name for name in workdirs if name not in refused]
            outcomes = {name: read_outcome(workdirs[name]) for name in done}
        else:
            outcomes, refused = _one_by_one(chosen, given.tier, options, given.machine, workdirs)
    code = _conclude(outcomes) if outcomes else EXIT_BAD_INPUT
    for name, reason in refused.items():
        _say(f"not run: {name}: {reason}", file=sys.stderr)
    if any(isinstance(reason, Crashed) for reason in refused.values()):
        return EXIT_SOFTWARE
    return EXIT_BAD_INPUT if refused else code


def _one_by_one(chosen: Mapping[str, Any], tier: str, options: Options, machine: Machine, workdirs: Mapping[str, Path]):
    """Outcomes by name, and why the others could not be run."""
    outcomes, refused = {}, {}
    for name, module in chosen.items():
        try:
            own = dataclasses.replace(options, workdir=workdirs[name])
            outcomes[name] = _execute(module, name, tier, own, machine)
        except Exception as error:  # a data set that is not there must not cost the others their table
            if len(chosen) == 1 or (jax.process_count() > 1 and not isinstance(error, ValueError)):
                raise  # the other processes do not know of it
            kind = str if code_of(error) == EXIT_BAD_INPUT else Crashed
            refused[name] = kind(in_a_line(error))
    return outcomes, refused


def _report(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise ValueError(f"report: found {arguments}, wanted one run directory")
    outcome = load_outcome(registry.load, Path(arguments[0]), make_config)
    return _conclude({arguments[0]: outcome})


def _start(machine: Machine) -> Options:
    """Joins the other processes, fixes the precision and builds the mesh: the first access to any device."""
    if machine.distributed:
        _join()
        with StopRequest() as stop:
            stop.listen()  # the service that tells of preemptions takes SIGTERM
        peers.watch(_end_with_the_others)
        program.on_abort(_end_by_jax)
    # A documented choice, so that no backend's default decides it.
    jax.config.update("jax_default_matmul_precision", machine.precision)
    mesh = make_mesh(data=machine.data_devices)
    return Options(mesh=mesh, progress=None if machine.progress else False)


def _join() -> None:
    try:
        jax.distributed.initialize()
    except ValueError as error:
        raise ValueError(f"run: found --distributed where JAX does not find the other processes: {error}") from error


def _fresh_workdir(machine: Machine, name: str, preset: str) -> Path:
    """A new run directory, the same on every process whatever their clocks say."""
    return Path(exchange(str(agree(lambda: new_workdir(machine.runs_root, name, preset))))[0])


@contextlib.contextmanager
def _removed_if_empty(workdirs: Iterable[Path]):
    """New folders of what was refused must not be left behind."""
    try:
        yield
    finally:
        for workdir in workdirs:
            with contextlib.suppress(OSError):  # it is not empty
                workdir.rmdir()


def _require_run(workdir: Path) -> None:
    """A mistyped folder must not become a new run; only process 0 needs to see it."""
    if jax.process_index() == 0 and not (workdir / EXPERIMENT).exists() and not any(workdir.glob(f"*/{RECORDS}")):
        raise ValueError(f"run: found --resume with {workdir}, which holds no run; wanted the folder of one")


def _execute(module: Any, name: str, preset: str, options: Options, machine: Machine, **how: Any) -> Outcome:
    _say(f"run directory: {options.workdir}")
    trial_map = machine.trial_map
    if trial_map == "auto":
        on_cpu = jax.default_backend() == "cpu" and machine.data_devices == 1
        trial_map = getattr(module, "TRIAL_MAP", "vmap") if on_cpu else "vmap"
    options = dataclasses.replace(options, trial_map=trial_map)
    try:
        return run_experiment(module, name, preset, options=options, say=_say, **how)
    except Interrupted:
        words = ["run", name, "--preset", preset, "--workdir", str(options.workdir), "--resume"]
        _say(f"to go on (with the same other options): python -m experiments {shlex.join(words)}", file=sys.stderr)
        raise


def _sinks(tracker: str | None, name: str, workdir: Path):
    def make(arm: str) -> list[Any]:
        if tracker == "tensorboard":
            return [TensorBoardSink(workdir / arm / "tensorboard")]
        return [WandbSink("identax", name=f"{name}/{arm}")] if tracker == "wandb" else []

    return make


def _say(text: str, file: Any = None) -> None:
    if jax.process_index() == 0:
        print(text, file=file, flush=True)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=150)


def _conclude(outcomes: Mapping[str, Outcome]) -> int:
    """Prints one table over all outcomes and where their pages lie.

    Returns 1 if a row is out of band or every trial of an arm failed, else 0.
    """
    rows, lost = [], []
    for name, outcome in outcomes.items():
        prefix = f"{name}: " if len(outcomes) > 1 else ""
        lost += [prefix + arm for arm in outcome.lost]
        rows += [dataclasses.replace(row, quantity=prefix + row.quantity) for row in outcome.comparisons]
    out = [row.quantity for row in rows if row.in_band is False]
    if jax.process_index() == 0:
        judged = sum(row.in_band is not None for row in rows)
        _console().print(comparison_table(rows))
        print(f"{judged - len(out)} of {judged} rows in band" + (f"; out of band: {', '.join(out)}" if out else ""))
        if not judged:
            print("no row was judged: bands hold for an unchanged preset that has them")
        if lost:
            print(f"every trial failed: {', '.join(lost)}")
        for outcome in outcomes.values():
            print(f"report: {outcome.report}")
    return 1 if out or lost else 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:  # --debug
        with steady_streams():
            traceback.print_exc()
        code = code_of(error)
    program.finish(code)
