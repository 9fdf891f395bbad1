"""Which benchmarks there are, and the process each one wants."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """`function(**arguments)` in a fresh process: one thread on one core if `pinned`, `devices` CPU devices."""

    module: str
    arguments: dict[str, Any]
    pinned: bool
    devices: int = 1
    cpu: bool = False
    """runs on the CPU even where there is an accelerator"""
    function: str = "measure"
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """derived number -> the largest value with which `python -m benchmarks` succeeds; none in the quick form"""

    def process(self) -> tuple[dict[str, str], str]:
        """Environment variables to add, and what they mean in words."""
        flags = [f"--xla_force_host_platform_device_count={self.devices}"] if self.devices > 1 else []
        variables = {"IDENTAX_COMPILATION_CACHE": "off"}
        if self.pinned:
            flags.append("--xla_cpu_multi_thread_eigen=false")
            variables |= {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        if self.cpu:
            variables["JAX_PLATFORMS"] = "cpu"
        variables["XLA_FLAGS"] = " ".join(flags)
        return variables, "one thread on one core" if self.pinned else "all cores"


def _quick(benchmark: Benchmark, **arguments: Any) -> Benchmark:
    return dataclasses.replace(benchmark, arguments={**benchmark.arguments, **arguments}, limits={})


_DISCRIMINATION = {"presets": ("paper", "quick"), "num_labels": (1000, 10_240), "rounds": 7, "num_steps": 10}
_PIPELINE = {"num_images": 2000, "batch_size": 128, "log_every": 5}
_SEQUENCES = {"names": ("transformer", "lstm", "linear", "mamba", "xlstm"), "half": 16, "rounds": 7}
_AGENTS = {
    "game": "drawn frames", "num_environments": 64, "num_seeds": 1, "rollout_length": 5, "num_updates": 40, "rounds": 7,
}  # fmt: skip
FULL: dict[str, Benchmark] = {
    "step-paper": Benchmark("step", {"setting": "paper", "rounds": 9, "num_steps": 10}, pinned=True, cpu=True),
    "step-small": Benchmark("step", {"setting": "small", "rounds": 15, "num_steps": 200}, pinned=True, cpu=True),
    "trials": Benchmark("trials", {"rounds": 7, "num_steps": 100}, pinned=True),
    "trials-all-cores": Benchmark("trials", {"rounds": 7, "num_steps": 100}, pinned=False),
    "overhead": Benchmark(
        "overhead",
        {"rounds": 7, "num_steps": 10_000, "log_every": 250},
        pinned=True,
        limits={
            "runner over by hand, at least (%)": 2.0,
            "runner with workdir over by hand, at least (%)": 4.0,
            "step of the runner over step by hand, at least (%)": 2.0,
        },
    ),
    "devices": Benchmark("devices", {"rounds": 7, "num_steps": 100}, pinned=False, devices=8, cpu=True),
    "losses": Benchmark("losses", {"sizes": tuple(2**k for k in range(10, 17)), "rounds": 7}, pinned=False),
    "losses-ring": Benchmark(
        "losses", {"num": 8192, "block_size": 512, "rounds": 5}, pinned=False, devices=8, cpu=True, function="ring"
    ),
    "discrimination": Benchmark("discrimination", _DISCRIMINATION, pinned=True, cpu=True),
    "discrimination-all-cores": Benchmark("discrimination", _DISCRIMINATION, pinned=False, cpu=True),
    "discrimination-programs": Benchmark(
        "discrimination", {"num_seeds": 5}, pinned=False, cpu=True, function="programs"
    ),
    "discrimination-blocked": Benchmark(
        "discrimination",
        {"num_labels": 100_000, "blocks": (1000, 10_000), "rounds": 5},
        pinned=False,
        function="blocked",
    ),
    "vae": Benchmark("vae", {"counts": (1, 20), "rounds": 9, "num_steps": 200}, pinned=True, cpu=True),
    "weight-operators": Benchmark(
        "weight_operators",
        {"rounds": 5, "num_steps": 200},
        pinned=True,
        cpu=True,
        limits={
            "step + reinitialise over step (%)": 10,
            "step + released shuffle over step (%)": 10,
            "step + permutation over step (%)": 50,
        },
    ),
    "sequence-models": Benchmark("sequence_models", _SEQUENCES, pinned=True, cpu=True, function="throughput"),
    "sequence-training": Benchmark(
        "sequence_models",
        {"half": 16, "trials": 12, "num_steps": 20, "rounds": 7},
        pinned=True,
        cpu=True,
        function="training",
    ),
    "sequence-decoding": Benchmark(
        "sequence_models",
        {"length": 6, "num_tokens": 64, "rounds": 5},
        pinned=True,
        cpu=True,
        function="decoding",
    ),
    "sequence-memory": Benchmark(
        "sequence_models",
        {"half": 128, "chunk": 32, "hidden": 1024},
        pinned=True,
        cpu=True,
        function="memory",
        limits={"chunked over dense": 1 / 3},
    ),
    "agents-memory": Benchmark(
        "agents", _AGENTS | {"memory": "lstm", "units": 288}, pinned=True, cpu=True, function="steps"
    ),
    "agents-memory-seeds": Benchmark(
        "agents", _AGENTS | {"memory": "lstm", "units": 288, "num_seeds": 8}, pinned=True, cpu=True, function="steps"
    ),
    "agents": Benchmark(
        "agents",
        _AGENTS | {"memory": "none", "units": 128, "num_environments": 4, "num_seeds": 8, "num_updates": 200},
        pinned=True,
        cpu=True,
        function="steps",
    ),
    "agents-proximal": Benchmark(
        "agents_proximal",
        {
            "game": "Breakout-MinAtar",
            "widths": (64, 64),
            "num_environments": 64,
            "num_seeds": 1,
            "rollout_length": 64,
            "epochs": 4,
            "minibatches": 8,
            "num_updates": 16,
            "rounds": 7,
        },
        pinned=True,
        cpu=True,
        function="steps",
    ),
    "input-pipeline": Benchmark("input_pipeline", _PIPELINE | {"rounds": 5, "num_steps": 200}, pinned=False),
    "linear-systems-training": Benchmark(
        "linear_systems",
        {"dims": (2, 5, 10), "rounds": 7, "num_epochs": 4},
        pinned=True,
        cpu=True,
        function="training",
    ),
    "linear-systems-identification": Benchmark(
        "linear_systems", {"num_systems": 1000, "dim": 3, "rounds": 5}, pinned=False, function="identification"
    ),
    "independence": Benchmark(
        "independence", {"sizes": (300, 500, 1000), "num": 8, "rounds": 5}, pinned=True, cpu=True
    ),
    "independence-all-cores": Benchmark(
        "independence", {"sizes": (500,), "num": 40, "rounds": 5, "reference": False}, pinned=False, cpu=True
    ),
    "rendering": Benchmark("rendering", {"batch_size": 256, "rounds": 7, "num_steps": 8}, pinned=False),
    "image-contrast": Benchmark(
        "image_contrast", {"sizes": (16, 32, 64), "num": 3, "rounds": 3, "pixels": 3072}, pinned=False
    ),
    "augmentations": Benchmark(
        "images", {"what": "augmentations", "rounds": 7, "num_steps": 4, "batch_size": 512}, pinned=True
    ),
    "resnet18": Benchmark(
        "images", {"what": "resnet18", "width": 64, "rounds": 3, "num_steps": 1, "batch_size": 32}, pinned=False
    ),
}
QUICK: dict[str, Benchmark] = {
    "step-paper": _quick(FULL["step-paper"], rounds=3, num_steps=5),
    "step-small": _quick(FULL["step-small"], rounds=5, num_steps=50),
    "trials": _quick(FULL["trials"], rounds=3, num_steps=20, counts=(1, 4, 16)),
    "overhead": _quick(FULL["overhead"], rounds=3, num_steps=1000, log_every=100),
    "devices": _quick(FULL["devices"], rounds=3, num_steps=20),
    "losses": _quick(FULL["losses"], sizes=(1024, 2048, 4096), rounds=3),
    "losses-ring": _quick(FULL["losses-ring"], num=1024, block_size=64, rounds=2),
    "discrimination": _quick(FULL["discrimination"], presets=("quick",), rounds=2, num_steps=2),
    "discrimination-all-cores": _quick(FULL["discrimination-all-cores"], presets=("quick",), rounds=2, num_steps=2),
    "discrimination-programs": _quick(FULL["discrimination-programs"], rows=("default", "d 10", "kappa 50")),
    "discrimination-blocked": _quick(
        FULL["discrimination-blocked"], num_labels=10_000, blocks=(1000,), rounds=2, batch_size=128
    ),
    "vae": _quick(FULL["vae"], counts=(2,), rounds=2, num_steps=20),
    "weight-operators": _quick(FULL["weight-operators"], rounds=2, num_steps=40, cells=2, seeds=1),
    **{
        name: _quick(FULL[name], units=8, num_environments=2, num_updates=2, rounds=1)
        for name in ("agents-memory", "agents-memory-seeds", "agents")
    },
    "agents-proximal": _quick(
        FULL["agents-proximal"],
        game="drawn frames",
        num_environments=4,
        rollout_length=4,
        minibatches=2,
        num_updates=2,
        rounds=1,
    ),
    "sequence-models": _quick(FULL["sequence-models"], half=4, rounds=1),
    "sequence-training": _quick(FULL["sequence-training"], half=4, trials=2, num_steps=2, rounds=1),
    "sequence-decoding": _quick(FULL["sequence-decoding"], length=3, num_tokens=6, rounds=1),
    "sequence-memory": _quick(FULL["sequence-memory"], half=8, chunk=2, hidden=32),
    "input-pipeline": _quick(FULL["input-pipeline"], num_images=200, batch_size=32, rounds=1, num_steps=20),
    "linear-systems-training": _quick(FULL["linear-systems-training"], dims=(2,), rounds=2, num_epochs=1),
    "linear-systems-identification": _quick(FULL["linear-systems-identification"], num_systems=50, rounds=2),
    "independence": _quick(FULL["independence"], sizes=(100, 300), num=4, rounds=2),
    "independence-all-cores": _quick(FULL["independence-all-cores"], sizes=(300,), num=8, rounds=2),
    "rendering": _quick(FULL["rendering"], batch_size=64, rounds=3, num_steps=2),
    "image-contrast": _quick(FULL["image-contrast"], sizes=(16,), rounds=1, pixels=192),
    "augmentations": _quick(FULL["augmentations"], rounds=3, num_steps=1),
    "resnet18": _quick(FULL["resnet18"], width=16, rounds=1, batch_size=16),
}


def function(benchmark: Benchmark) -> Callable[..., dict[str, Any]]:
    """The function of a benchmark's module, imported only now: JAX must find the process as it is to be."""
    import importlib

    return getattr(importlib.import_module(f"benchmarks.{benchmark.module}"), benchmark.function)
