"""Several experiments at a time, each in a process of its own: `reproduce --jobs N`.

On a CPU an experiment spends half of its time in the compiler and most of its steps on one core, so two cores finish
two experiments nearly as fast as one. Each process gets cores of its own: two that share both cores wait for each
other's threads and make .63 of the steps (contrastive_ica/table1). Accelerators are not shared: there `jobs` is 1.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import jax

from experiments import program
from experiments.cli import Machine
from identax.run.interrupt import EXIT_INTERRUPTED, Interrupted, StopRequest

COMMAND = (sys.executable, "-m", "experiments")
BAD_INPUT = 2
MOST = 4  # at a time when nobody says how many: every process holds its own programs and state


class Stopped(Interrupted):
    """Raised when a signal stopped the experiments, each of which saved what it had; exits with code 75."""

    def __init__(self) -> None:
        super().__init__(0, saved=True, where="between experiments")

    def __str__(self) -> str:
        return "interrupted: every experiment that ran has saved; `run NAME --workdir DIR --resume` continues one"


class Crashed(str):
    """Why an experiment could not be run, where that was no bad input."""


def num_jobs(asked: int, num_experiments: int, machine: Machine) -> int:
    """How many experiments run at a time: `asked`, or for 0 one per core of a CPU (at most 4), one on accelerators.

    Raises `ValueError` for negative numbers and for several jobs of a distributed run.
    """
    if asked < 0:
        raise ValueError(f"reproduce: found --jobs {asked}, wanted 0 (automatic) or more")
    if machine.distributed:
        if asked > 1:
            raise ValueError(f"reproduce: found --jobs {asked} with --distributed, wanted one of them")
        return 1
    if asked == 0:
        asked = min(len(_cores()), MOST) if jax.default_backend() == "cpu" else 1
    return max(1, min(asked, num_experiments))


def core_shares(cores: Sequence[int], jobs: int) -> list[tuple[int, ...]]:
    """Splits the cores among `jobs` processes as evenly as it goes; more processes than cores share."""
    return [tuple(cores[job::jobs]) or (cores[job % len(cores)],) for job in range(jobs)]


def _cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def run_beside(
    workdirs: Mapping[str, Path], tier: str, machine: Machine, jobs: int, say: Callable[[str], None]
) -> dict[str, str]:
    """Runs the experiments of `workdirs` and returns, for each that could not be run, why.

    What a process prints lies in `<workdir>.log`; its progress goes to `say`. SIGTERM and Ctrl-C reach all processes,
    which save and end; then `Stopped` is raised.
    """
    running: set[subprocess.Popen] = set()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        for process in list(running):
            process.send_signal(signal.SIGTERM)

    free: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    for share in core_shares(_cores(), jobs):
        free.put(share)

    def work(name: str) -> str | None:
        if stopped:
            return None
        cores = free.get()
        try:
            return _run_one(name, workdirs[name], tier, machine, running, lambda: stopped, say, cores)
        finally:
            free.put(cores)

    with StopRequest(tell=stop):
        with ThreadPoolExecutor(jobs) as pool:
            found = dict(zip(workdirs, pool.map(work, workdirs), strict=True))
        if stopped:
            raise Stopped
    return {name: reason for name, reason in found.items() if reason}


def _run_one(name, workdir: Path, tier, machine: Machine, running, stopped, say, cores=()) -> str | None:
    words = ["run", name, "--preset", tier, "--workdir", str(workdir), "--precision", machine.precision]
    words += ["--data-devices", str(machine.data_devices), "--trial-map", machine.trial_map]
    log = workdir.with_name(f"{workdir.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"run directory: {workdir} (printed to {log})")
    last = ""
    # A session of its own: Ctrl-C would reach it twice, from the terminal and from `stop`.
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    file = log.open("w", encoding="utf-8", errors="replace")
    with file, subprocess.Popen([*COMMAND, *words], text=True, errors="replace", **how) as process:
        running.add(process)
        program.children.add(process)
        if stopped():  # while it was started
            process.send_signal(signal.SIGTERM)
        if cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(ProcessLookupError):  # it may have ended already
                os.sched_setaffinity(process.pid, cores)  # before it has threads: they inherit it
        for line in process.stdout or ():
            file.write(line)
            last = line.strip() or last
            if machine.progress and line.startswith(f"{name} / ") and " | " in line:
                say(line.rstrip())
    running.discard(process)
    program.children.discard(process)
    code = process.returncode
    if code in (0, 1):
        return None
    if code == BAD_INPUT:
        return last.removeprefix("error: ")
    kind = str if code == EXIT_INTERRUPTED else Crashed  # somebody else stopped it, which is no crash
    return kind(f"ended with code {code}: {last} (see {log})")
