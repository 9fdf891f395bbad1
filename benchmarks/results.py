"""Result files: written by commit and device, shown and compared."""

import importlib.metadata
import json
import math
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def device_name() -> str:
    """Kind of the accelerator, or the processor's name."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def versions() -> dict[str, Any]:
    """Environment of the run and the version of PyTorch, None without it."""
    from identax.run.environment import describe_environment

    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = None
    return {**describe_environment(), "torch": torch}


def path_of(environment: dict[str, Any], device: str, folder: Path = FOLDER) -> Path:
    """`<commit>-<device>.json`, with `-dirty` where the tree differs from the commit."""
    commit = (environment["commit"] or "unknown")[:10] + ("-dirty" if environment["dirty"] else "")
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return folder / f"{commit}-{slug}-{environment['cpu_count']}-cores.json"


def read(path: str | Path) -> dict[str, Any]:
    """Reads a result file. Raises `ValueError` if it is none."""
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"benchmarks: found no result file at {path} ({error})") from None
    if not isinstance(found, dict) or "benchmarks" not in found:
        raise ValueError(f"benchmarks: found {path} without the key 'benchmarks', wanted a result file")
    return found


def table(results: dict[str, Any]) -> str:
    """All timings and derived numbers as text."""
    lines = []
    for name, found in results["benchmarks"].items():
        sizes = ", ".join(f"{key} {value}" for key, value in found["settings"].items())
        lines += [f"{name}  ({found['threads']}; {sizes}; load {found['load']['before']})"]
        for row, timing in found["timings"].items():
            lines.append(
                f"  {row:<28}{_time(timing['median']):>12}   {_time(timing['low'])} .. {_time(timing['high'])}"
                f"   {timing['rounds']} rounds"
            )
        lines += [f"  {row:<58} compile {seconds:.2f} s" for row, seconds in found["compile_seconds"].items()]
        lines += [f"  {row:<58} {value:.4g}" for row, value in found["derived"].items()]
    return "\n".join(lines)


def exceeded(name: str, found: dict[str, Any], limits: Mapping[str, float]) -> list[str]:
    """A line for each derived number of benchmark `name` that is above its limit, or not there."""
    lines = []
    for row, limit in limits.items():
        value = found["derived"].get(row, math.nan)
        if not value <= limit:
            by = "was not measured" if math.isnan(value) else f"is {value:.2f}, {value - limit:.2f} above"
            lines.append(f"{name}: {row} {by}; limit {limit:g}")
    return lines


def compare(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Ratio of medians b / a of every timing that both have; marked where the quartiles do not overlap."""
    lines = [f"{'benchmark':<20}{'row':<26}{'A':>12}{'B':>12}{'B/A':>8}"]
    for name in a["benchmarks"].keys() & b["benchmarks"].keys():
        before, after = a["benchmarks"][name], b["benchmarks"][name]
        if before["settings"] != after["settings"]:
            lines.append(f"{name:<20}settings differ, not compared")
            continue
        for row, old in before["timings"].items():
            if (new := after["timings"].get(row)) is None:
                continue
            apart = "slower" if new["low"] > old["high"] else "faster" if new["high"] < old["low"] else ""
            ratio = new["median"] / old["median"]
            medians = f"{_time(old['median']):>12}{_time(new['median']):>12}"
            lines.append(f"{name:<20}{row:<26}{medians}{ratio:>8.2f}  {apart}".rstrip())
    if a["device"] != b["device"]:
        lines.append(f"Devices differ: {a['device']} and {b['device']}; ratios say nothing about the code.")
    return "\n".join([lines[0], *sorted(lines[1:])])


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
