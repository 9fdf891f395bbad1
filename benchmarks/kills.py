"""Does a run survive? `python -m benchmarks.kills`: kills and signals at random moments, each resumed and compared.

    make soak-kills                                      200 kills and 200 signals of csi/simulation, made small
    make soak-kills ARGS="--kills 20 --signals 0"        fewer
    make soak-kills ARGS="--run csi/regimes --preset smoke"    another experiment, in its words

A run is hit at a random moment: any ("any"), after an arm's folder appeared ("compile"), after a checkpoint's did
("checkpoint"), or after the last arm ("page"). Then it is resumed, hit up to `--most-hits` times in all, and resumed
until it is done.
Rows, trials, kept arrays and the numbers of `summary.json` must be those of the run that nobody hit, byte for byte. A
signal must end the process with 75, or 0 if it was done. Processes are forked from one that has imported everything and
started no backend; every fifth that gets a signal is a new one instead, which is hit while it imports too.
Exit code 1 if anything was lost, different, late, or ended otherwise.
"""

import argparse
import ctypes
import importlib.metadata
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments import program
from experiments.__main__ import main as command_line
from identax.run import environment
from identax.run.environment import CACHE_VARIABLE

AIMS = ("any", "compile", "checkpoint", "page")
REAL_EVERY = 5
SMALL = "csi/simulation --preset smoke --config.num-steps 40 --config.evaluate-every 10 --config.checkpoint-every 10"
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Soak:
    """The uninterrupted run, how long it takes, and what was counted."""

    def __init__(self, words: list[str], folder: Path, given: argparse.Namespace) -> None:
        self.aims, self.limit, self.most_hits = given.aims, given.limit, given.most_hits
        self.words, self.folder = ["run", *words, "--no-progress"], folder
        self.random, self.counts, self.moments = random.Random(given.seed), Counter(), Counter()
        self.faults: list[str] = []
        self.slowest = 0.0  # from a signal to the end
        self.last: set[Path] = set()  # what is there when nothing is left but the page
        for _ in range(2):  # the first fills the compilation cache
            shutil.rmtree(folder / "whole", ignore_errors=True)
            begin = time.monotonic()
            process = self._start(folder / "whole", real=False)
            self._wait(lambda: self._arms_done(folder / "whole"), process, begin)
            drawn = time.monotonic()
            code = self._end(process)
            self.seconds, self.page = time.monotonic() - begin, time.monotonic() - drawn
            self.last = _ends_of_arms(folder / "whole")
            if code not in (0, 1):  # 1: out of band, which a run this small may be
                raise SystemExit(f"the run that nobody hit ended with {code}; see {folder / 'whole.log'}")
        self.code = code

    def hit(self, kind: str, number: int) -> None:
        """One run, hit at least once, resumed until it is done, compared."""
        folder = self.folder / f"{kind}-{number}"
        for attempt in range(100):
            aim = self.aims[(number + attempt) % len(self.aims)]
            real = kind == "signal" and number % REAL_EVERY == 0
            what = signal.SIGKILL if kind == "kill" else self.random.choice(SIGNALS)
            wanted = attempt < self.random.randint(1, self.most_hits)
            process = self._start(folder, real=real)
            if wanted:
                self._take_aim(aim, folder, process)
                moment = "drawing" if self._arms_done(folder) else _moment(folder)
                sent = time.monotonic()
                process.hit(what)
            code = self._end(process)
            if wanted and code in (-signal.SIGKILL, 75):
                self.counts[f"{kind}: {aim}"] += 1
                self.moments[f"{kind}: {moment}"] += 1
                self.slowest = max(self.slowest, time.monotonic() - sent if kind == "signal" else 0.0)
                continue
            self.counts[f"{kind}: done before it"] += wanted
            if code != self.code:
                self.faults.append(f"{folder.name}: attempt {attempt} ({aim}) ended with {code}")
            break
        differing = differences(folder, self.folder / "whole")
        self.counts[f"{kind}: {'different' if differing else 'identical'}"] += 1
        self.faults += [f"{folder.name}: {name}" for name in differing]
        if not differing and not any(fault.startswith(f"{folder.name}:") for fault in self.faults):
            shutil.rmtree(folder)
            folder.with_suffix(".log").unlink()

    def _take_aim(self, aim: str, folder: Path, process: "_Process") -> None:
        begin, draw = time.monotonic(), self.random.random()
        if aim == "any":
            self._wait(lambda: time.monotonic() - begin > draw * self.seconds, process, begin)
            return
        known = len(_checkpoints(folder))
        there, share = {
            "compile": (lambda: any(folder.glob("*/config.json")), 0.5 * self.seconds),
            "checkpoint": (lambda: len(_checkpoints(folder)) > known, 0.05),
            "page": (lambda: self._arms_done(folder), self.page),
        }[aim]
        self._wait(there, process, begin)
        since = time.monotonic()
        self._wait(lambda: time.monotonic() - since > draw * share, process, begin)

    def _arms_done(self, folder: Path) -> bool:
        return self.last <= _ends_of_arms(folder) if self.last else _is_drawn(folder)

    def _wait(self, until: Callable[[], bool], process: "_Process", begin: float) -> None:
        while not until() and process.code() is None and time.monotonic() - begin < self.limit:
            time.sleep(0.002)

    def _start(self, folder: Path, *, real: bool) -> "_Process":
        # A folder that was not claimed yet is started again by the same words.
        resume = ["--resume"] if (folder / "experiment.json").exists() else []
        words = [*self.words, "--workdir", str(folder), *resume]
        return (_Real if real else _Forked)(words, folder.with_suffix(".log"))

    def _end(self, process: "_Process") -> int | str:
        begin = time.monotonic()
        while (code := process.code()) is None:
            if time.monotonic() - begin > self.limit:
                process.hit(signal.SIGKILL)
                return "late"
            time.sleep(0.005)
        return code


class _Forked:
    """A process of the command line, forked from this one."""

    def __init__(self, words: list[str], log: Path) -> None:
        self._code: int | None = None
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # one that comes before it listens waits
        self._pid = os.fork()
        if self._pid == 0:
            _be(words, log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def code(self) -> int | None:
        if self._code is None:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def hit(self, number: int) -> None:
        if self.code() is None:
            os.kill(self._pid, number)


class _Real:
    """A process of the command line from its start; hit from its first line on."""

    def __init__(self, words: list[str], log: Path) -> None:
        with log.open("a") as file:
            how = {"stdout": file, "stderr": file, "start_new_session": True}
            self._process = subprocess.Popen([sys.executable, "-X", "faulthandler", "-m", "experiments", *words], **how)
        time.sleep(0.3)  # the interpreter itself

    def code(self) -> int | None:
        return self._process.poll()

    def hit(self, number: int) -> None:
        self._process.send_signal(number)


_Process = _Forked | _Real


def _be(words: list[str], log: Path) -> None:
    """In the child: never returns."""
    code = 1
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a soak that is stopped leaves nothing behind
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        program.listen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        program.finish(command_line(words))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def differences(found: Path, whole: Path) -> list[str]:
    """Names of what is missing, too much or different in a run directory, but for times, pages and checkpoints."""
    patterns = ("*/records.jsonl", "*/trials.npz", "*/arrays/**/*.npy", "summary.json", "report.html")
    names = {str(path.relative_to(root)) for root in (found, whole) for one in patterns for path in root.glob(one)}
    return sorted(name for name in names if not _same(found / name, whole / name))


def _same(found: Path, whole: Path) -> bool:
    if not found.exists() or not whole.exists():
        return False
    if found.suffix == ".html":  # it holds times
        return found.stat().st_size > 0
    if found.suffix == ".npz":  # it may hold times of its files
        with np.load(found) as one, np.load(whole) as other:
            return one.files == other.files and all(np.array_equal(one[name], other[name]) for name in one.files)
    if found.name == "summary.json":
        one, other = (json.loads(path.read_text()) for path in (found, whole))
        return {**one, "seconds": 0} == {**other, "seconds": 0}
    return found.read_bytes() == whole.read_bytes()


def _checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("*/checkpoints/*/"))


def _ends_of_arms(folder: Path) -> set[Path]:
    """What each arm wrote last: its complete checkpoints, or its blocks."""
    found = (*folder.glob("*/checkpoints/*/manifest.json"), *folder.glob("*/blocks.json"))
    return {path.relative_to(folder) for path in found}


def _is_drawn(folder: Path) -> bool:
    return (folder / "figures").exists() or (folder / "summary.json").exists()


def _moment(folder: Path) -> str:
    """What a run was about, as far as its folder tells."""
    if not (folder / "experiment.json").exists():
        return "before the folder"
    if _is_drawn(folder):
        return "writing the page"
    if any(not (path / "manifest.json").exists() for path in _checkpoints(folder)):
        return "saving"
    rows = [path for path in folder.glob("*/records.jsonl") if path.stat().st_size]
    arms = list(folder.glob("*/config.json"))
    return "before the first row of an arm" if len(rows) < len(arms) or not arms else "training"


def main(arguments: list[str]) -> int:
    """Runs the soak, prints and writes the counts; returns 1 if anything went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="at least so many SIGKILLs")
    parser.add_argument("--signals", type=int, default=200, help="at least so many SIGTERMs and SIGINTs")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="no further run is begun after so many")
    parser.add_argument("--most-hits", type=int, default=3, help="of one run, before it may go on to its end")
    parser.add_argument("--aims", nargs="+", choices=AIMS, default=AIMS)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one process")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path("runs/kills"), help="folder of the result files")
    parser.add_argument("--run", nargs=argparse.REMAINDER, default=SMALL.split(), help="words after `run`; comes last")
    given = parser.parse_args(arguments)
    if environment._backend_runs():
        raise RuntimeError("kills: a backend was started by an import, wanted none before the processes are forked")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault(CACHE_VARIABLE, str(Path(temporary) / "cache"))
        folder = given.out / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        folder.mkdir(parents=True)
        soak = Soak(given.run, folder.resolve(), given)
        print(f"uninterrupted: {soak.seconds:.1f} s, of them {soak.page:.1f} s for the page", flush=True)
        wanted, end = {"kill": given.kills, "signal": given.signals}, time.monotonic() + 60 * given.minutes
        number = 0
        while wanted and time.monotonic() < end and len(soak.faults) < 20:
            for kind in list(wanted):
                soak.hit(kind, number)
                if sum(soak.counts[f"{kind}: {aim}"] for aim in AIMS) >= wanted[kind]:
                    del wanted[kind]
            number += 1
            if number % 5 == 0:
                print(f"{dict(sorted(soak.counts.items()))}", flush=True)
    _report(soak, given)
    return int(bool(soak.faults))


def _report(soak: Soak, given: argparse.Namespace) -> None:
    versions = {"python": platform.python_version(), "jaxlib": importlib.metadata.version("jaxlib")}
    times = {"seconds": round(soak.seconds, 1), "slowest_answer": round(soak.slowest, 1), "load": os.getloadavg()[1]}
    counts = {"counts": dict(soak.counts), "moments": dict(soak.moments), "faults": soak.faults}
    found = {**versions, "cores": os.cpu_count(), "run": given.run, "seed": given.seed, **times, **counts}
    path = soak.folder / "counts.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
