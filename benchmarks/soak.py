"""Does the CPU backend hang? `python -m benchmarks.soak`: many starts of the programs of `benchmarks.hanging`, counted.

    make soak-hangs                                        300 starts of each program, with the flag, nothing beside
    make soak-hangs ARGS="--load 2"                        the same beside two processes that keep a core busy each
    make soak-hangs ARGS="--flag without --starts 20"      how often the same programs stop without the flag
    make soak-hangs ARGS="--programs kernel_tests --starts 100"   vmapped kernel tests at 500 samples
    make soak-hangs ARGS="--python /path/to/python3.12"    with another interpreter, which needs JAX only

A start is a process forked from one that has imported JAX and started no backend: it reads XLA_FLAGS, starts the
backend with its threads, compiles (the first of a program) or loads what the first compiled, and calls. It is hung when
it has used no processor for `--idle` seconds, late when it is not done at `--limit`; both end it.
Exit code 1 if any start with the flag was not done.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
OUTCOMES = ("done", "hung", "late", "failed")
SETTINGS = ("starts", "flag", "devices", "load", "limit", "idle")
_BUSY = """
import os, time, numpy as np
x, end = np.random.default_rng(0).normal(size=(300, 300)), time.time() + float(os.environ["SOAK_BUSY"])
while time.time() < end:
    np.linalg.qr(x @ x)
"""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a start is given up, in seconds."""

    idle: float
    late: float


def main(arguments: list[str]) -> int:
    """Runs the soak and writes one JSON file; returns 1 if a start with the flag was not done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=300, help="of each program")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one start")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds without processor that count as a hang")
    parser.add_argument("--programs", nargs="+", default=["qr_svd", "actor_critic"])
    parser.add_argument("--flag", choices=("with", "without"), default="with")
    parser.add_argument("--devices", type=int, default=1, help="virtual CPU devices")
    parser.add_argument("--load", type=int, default=0, help="processes beside that keep a core busy each")
    parser.add_argument("--python", help="interpreter that takes over; must have JAX")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="folder of the result files")
    given = parser.parse_args(arguments)
    if given.python:
        words = []
        for name in (*SETTINGS, "out"):
            words += [f"--{name}", str(getattr(given, name))]
        os.execv(given.python, [given.python, "-m", "benchmarks.soak", *words, "--programs", *given.programs])
    from benchmarks.hanging import PROGRAMS

    unknown = [name for name in given.programs if name not in PROGRAMS]
    if unknown:
        parser.error(f"found program {unknown[0]!r}, wanted one of {', '.join(PROGRAMS)}")
    beside = [_keep_busy(3600 * 6) for _ in range(given.load)]
    try:
        found = {name: _soak(PROGRAMS[name], name, given) for name in given.programs}
    finally:
        for process in beside:
            process.kill()
            process.wait()
    path = _write(given, found)
    print(f"written to {path}")
    bad = sum(counts[outcome] for counts in found.values() for outcome in OUTCOMES[1:])
    return int(given.flag == "with" and bad > 0)


def _soak(program, name: str, given) -> dict:
    """Counts of one program, printed as they come."""
    flags = f"--xla_force_host_platform_device_count={given.devices}" + (f" {FLAG}" if given.flag == "with" else "")
    limits, counts, seconds, loads = Limits(given.idle, given.limit), Counter(), [], []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(given.starts):
            outcome, used = start(program, {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, limits, cache)
            counts[outcome] += 1
            seconds.append(used)
            loads.append(os.getloadavg()[0])
            if outcome != "done" or (number + 1) % 50 == 0 or number + 1 == given.starts:
                print(f"{name} {given.flag} the flag: {number + 1} starts, {dict(counts)}", flush=True)
    average = [min(loads), sum(loads) / len(loads), max(loads)]
    summary = {"seconds_mean": round(sum(seconds) / len(seconds), 2), "load_average": [round(x, 1) for x in average]}
    return {**{outcome: counts[outcome] for outcome in OUTCOMES}, **summary}


def start(program, variables: dict[str, str], limits: Limits, cache: str) -> tuple[str, float]:
    """One start in a process group of its own: how it ended (one of `OUTCOMES`) and how many seconds it took."""
    begin = moved = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        _run(program, variables, cache)
    used = _processor(child)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        if ended and status == 0:
            return "done", now - begin
        if ended:
            print(f"a start ended with code {os.waitstatus_to_exitcode(status)}", file=sys.stderr, flush=True)
            return "failed", now - begin
        before, used = used, _processor(child)
        moved = now if used != before else moved
        outcome = "hung" if now - moved > limits.idle else "late" if now - begin > limits.late else None
        if outcome:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return outcome, now - begin
        time.sleep(0.02)


def _run(program, variables: dict[str, str], cache: str) -> None:
    """In the child: never returns."""
    import jax

    code = 1
    try:
        os.environ.update(variables)
        jax.config.update("jax_platforms", variables["JAX_PLATFORMS"])
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        program()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _processor(pid: int) -> float | None:
    """Ticks of processor time that all threads of a process have used; None where the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()  # never idle: the limit alone counts
    return int(words[11]) + int(words[12])


def _keep_busy(seconds: float) -> subprocess.Popen:
    variables = {**os.environ, "SOAK_BUSY": str(seconds), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _BUSY], env=variables)


def _write(given, found: dict) -> Path:
    settings = {name: getattr(given, name) for name in SETTINGS}
    jaxlib = importlib.metadata.version("jaxlib")
    versions = {"python": platform.python_version(), "jaxlib": jaxlib, "cores": os.cpu_count()}
    given.out.mkdir(parents=True, exist_ok=True)
    words = [jaxlib, given.flag, f"devices{given.devices}", f"load{given.load}", *sorted(found)]
    path = given.out / ("-".join(words) + ".json")
    path.write_text(json.dumps({**versions, **settings, "programs": found}, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
