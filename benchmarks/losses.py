"""Memory and time of a contrastive loss: all similarities at once, in tiles, and spread over devices."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.timing import alternate, compiled, wait
from identax.losses import aninfonce, sharded
from identax.run.mesh import make_mesh

LARGEST = 6 * 2**30
"""Bytes of temporaries beyond which a program is compiled, but not run"""


def measure(
    *, sizes: tuple[int, ...], dim: int = 128, blocks: tuple[int, ...] = (512, 1024), rounds: int, patience: float = 20
) -> dict[str, Any]:
    """Value and gradient of `aninfonce` (two views, all arguments) for batches of N pairs in `sizes`.

    Memory: what the compiled program holds beside its arguments and results, also where it is not run. Timed, in turn,
    is what needs at most 6 GiB and, growing with N^2 from the size before, about `patience` seconds; slow ones in fewer
    rounds. Derived: MiB, and the tiles' memory and speed relative to dense.
    """
    forms = {"dense": None} | {f"block {size}": size for size in blocks}
    timings, seconds, last = {}, {}, {}
    derived: dict[str, float] = {}
    for num in sizes:
        arguments, runs, memory, slowest = _batch(num, dim), {}, {}, 0.0
        for form, block_size in forms.items():
            if block_size is not None and block_size > num:
                continue
            name = f"{form} N={num}"
            program, seconds[name] = compiled(_gradient(partial(aninfonce, block_size=block_size)), *arguments)
            memory[form] = program.memory_analysis().temp_size_in_bytes
            derived[f"{name}: MiB"] = memory[form] / 2**20
            expected = last[form][1] * (num / last[form][0]) ** 2 if form in last else 0.0
            if memory[form] <= LARGEST and expected <= patience:
                runs[name] = lambda program=program, arguments=arguments: wait(program(*arguments))
                slowest = max(slowest, expected)
        # slow programs in fewer rounds, so that all of them together stay within a few times `patience`
        timings |= alternate(runs, rounds=max(1, min(rounds, int(patience / max(slowest, 1e-3)))))
        for form in forms:
            if (name := f"{form} N={num}") in timings:
                last[form] = (num, timings[name].median)
        for form in memory.keys() - {"dense"}:
            derived[f"{form} N={num}: memory of dense (%)"] = 100 * memory[form] / memory["dense"]
            if {f"dense N={num}", f"{form} N={num}"} <= timings.keys():
                ratio = timings[f"dense N={num}"].median / timings[f"{form} N={num}"].median
                derived[f"{form} N={num}: speedup over dense"] = ratio
    return _found({"dim": dim, "sizes": str(list(sizes)), "loss": "aninfonce"}, seconds, timings, derived)


def ring(*, num: int, dim: int = 128, block_size: int, rounds: int) -> dict[str, Any]:
    """The same on one device and around the ring of all: memory of each, time, and the largest difference.

    Virtual devices share the cores of one machine: no speed-up is to be expected, memory is what each one holds.
    """
    devices = len(jax.devices())
    mesh = make_mesh(data=devices)
    spread = sharded(aninfonce, mesh)
    z, z_pos, precision = _batch(num, dim)
    rows = NamedSharding(mesh, PartitionSpec("data"))
    placed = (*jax.device_put((z, z_pos), rows), jax.device_put(precision, NamedSharding(mesh, PartitionSpec())))
    forms = {
        "one device": (aninfonce, (z, z_pos, precision)),
        f"{devices} devices": (spread, placed),
        f"{devices} devices, block {block_size}": (partial(spread, block_size=block_size), placed),
    }
    runs, seconds = {}, {}
    derived: dict[str, float] = {"devices": devices}
    for name, (loss, arguments) in forms.items():
        program, seconds[name] = compiled(_gradient(loss), *arguments)
        derived[f"{name}: MiB on each"] = program.memory_analysis().temp_size_in_bytes / 2**20
        runs[name] = lambda program=program, arguments=arguments: wait(program(*arguments))
    found = [jax.tree.leaves(jax.device_get(call())) for call in runs.values()]
    for name, leaves in zip(list(runs)[1:], found[1:], strict=True):
        gaps = [np.abs(x - y).max() / np.abs(y).max() for x, y in zip(leaves, found[0], strict=True)]
        derived[f"{name}: largest relative difference"] = float(max(gaps))
    timings = alternate(runs, rounds=rounds)
    return _found({"dim": dim, "num_pairs": num, "loss": "aninfonce"}, seconds, timings, derived)


def _batch(num, dim):
    first, second = jax.random.split(jax.random.key(0))
    z = jax.random.normal(first, (num, dim))
    z_pos = z + 0.3 * jax.random.normal(second, (num, dim))
    normed = [x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (z, z_pos)]
    return (*normed, jnp.linspace(5.0, 25.0, dim))


def _gradient(loss: Callable) -> Callable:
    return jax.value_and_grad(lambda *args: loss(*args).mean(), argnums=(0, 1, 2))


def _found(settings, seconds, timings, derived):
    return {
        "settings": settings,
        "unit": "seconds per value and gradient",
        "compile_seconds": seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }
