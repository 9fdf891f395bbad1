"""One benchmark in its own process: `python -m benchmarks.child NAME full|quick FILE`."""

import json
import os
import sys
from pathlib import Path

from benchmarks import catalogue


def main(name: str, tier: str, file: str) -> None:
    """Pins this process if the benchmark asks for it, before JAX or PyTorch start their threads, and measures."""
    benchmark = (catalogue.QUICK if tier == "quick" else catalogue.FULL)[name]
    if benchmark.pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    measure = catalogue.function(benchmark)
    from benchmarks.timing import load

    before = load()
    found = measure(**benchmark.arguments)
    threads = benchmark.process()[1]
    Path(file).write_text(json.dumps({"threads": threads, "load": {"before": before, "after": load()}, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
