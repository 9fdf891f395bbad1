"""Measures and compares: `python -m benchmarks [--quick] [names...]`, `python -m benchmarks compare A.json B.json`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import catalogue, results

_TIMEOUT = 1800


def main(arguments: list[str]) -> int:
    """Runs each benchmark in a process of its own and writes one result file.

    Returns 1 if any failed or found a number above its limit (`catalogue.Benchmark.limits`).
    """
    if arguments[:1] == ["compare"]:
        return _compare(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(catalogue.FULL)}")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that everything runs")
    parser.add_argument("--out", type=Path, default=results.FOLDER, help="folder of the result files")
    options = parser.parse_args(arguments)
    known = catalogue.QUICK if options.quick else catalogue.FULL
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"found benchmark {unknown[0]!r}, wanted one of {', '.join(known)}")
    environment, device = results.versions(), results.device_name()
    found, failed, drifted = {}, [], []
    for name in options.names or known:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = _in_process(name, known[name], "quick" if options.quick else "full")
            drifted += results.exceeded(name, found[name], known[name].limits)
        except subprocess.SubprocessError as error:  # the others are still worth having
            failed.append(name)
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
    whole = {
        "device": device,
        "environment": environment,
        "quick": options.quick,
        "failed": failed,
        "exceeded": drifted,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "benchmarks": found,
    }
    path = results.path_of(environment, device, options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    print(f"{results.table(whole)}\n{device}; written to {path}")
    for line in drifted:
        print(f"DRIFTED  {line}", file=sys.stderr, flush=True)
    return 1 if failed or drifted else 0


def _in_process(name: str, benchmark: catalogue.Benchmark, tier: str) -> dict:
    variables, _ = benchmark.process()
    # The user's flags stay: without them XLA_FLAGS=--xla_backend_optimization_level=3 changes nothing, unnoticed.
    variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {variables['XLA_FLAGS']}".strip()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.child", name, tier, str(file)]
        root = Path(__file__).parent.parent
        subprocess.run(command, env={**os.environ, **variables}, check=True, timeout=_TIMEOUT, cwd=root)
        return json.loads(file.read_text())


def _compare(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("a", help="result file of the earlier commit")
    parser.add_argument("b", help="result file of the later commit")
    options = parser.parse_args(arguments)
    try:
        print(results.compare(results.read(options.a), results.read(options.b)))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
